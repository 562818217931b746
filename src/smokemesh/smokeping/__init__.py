"""SmokePing's own formats: its configuration, what its slaves and masters say to each other, its archives."""
