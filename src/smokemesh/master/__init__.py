"""The program that hands out work, collects, and shows."""
