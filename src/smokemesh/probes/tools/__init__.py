"""Tools: how the command line of each known program is made, and how what it prints is read. Pure; seconds."""
