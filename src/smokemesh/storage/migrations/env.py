"""Run by Alembic: migrates over the connection that `storage.catalogue` hands in."""

from alembic import context

from smokemesh.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter columns in place; Alembic copies the table instead.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
