"""A made-up network in namespaces: real packets, with delay and loss given per address pair."""
