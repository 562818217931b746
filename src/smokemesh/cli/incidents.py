"""`smokemesh incidents`: what alerts have raised."""

from smokemesh.cli.silences import incidents as command

__all__ = ["command"]
