"""The pages and the query API, over a real store and in a real browser."""
