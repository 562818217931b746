"""What a person types; the only place that wires a program."""
