"""How long the store takes to answer for a graph over 400 days."""
