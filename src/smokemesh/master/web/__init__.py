"""The pages: what people see in a browser, and the pictures they download."""
