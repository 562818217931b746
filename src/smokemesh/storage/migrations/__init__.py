"""How the catalogue's database came to its shape, step by step (Alembic)."""
