"""What is about to be inserted, the single addresses of names, and probes by the name people gave them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and the columns; names of probes lose what is set anew past `#`."""
    op.create_table(
        "intents",
        sa.Column("agent", sa.String, nullable=False),
        sa.Column("epoch", sa.String, nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.Column("begun", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("agent", "epoch", name="pk_intents"),
    )
    op.add_column("tasks", sa.Column("address", sa.String, nullable=False, server_default=""))
    op.add_column("tasks", sa.Column("several", sa.Boolean, nullable=False, server_default=sa.false()))
    tasks = sa.table("tasks", sa.column("id", sa.BigInteger), sa.column("probe", sa.String))
    connection = op.get_bind()
    for number, probe in connection.execute(sa.select(tasks).where(tasks.c.probe.contains("#"))).all():
        plain = tasks.update().where(tasks.c.id == number).values(probe=probe.partition("#")[0])
        connection.execute(plain)
