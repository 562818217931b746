"""How many rounds a second the store takes, rollups included."""
