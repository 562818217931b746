"""The version of the program; the protocol's own version stands in `wire.messages`."""

__version__ = "0.1.0"
