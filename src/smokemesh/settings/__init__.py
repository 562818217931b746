"""What people write: our YAML files, read strictly, errors with file and line."""
