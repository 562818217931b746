"""The words: what the things are. Imports nothing of ours."""
