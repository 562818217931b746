"""What alerts remember, incidents, silences, deliveries; what SmokePing's slaves and hosts with changing addresses need."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _number() -> sa.types.TypeEngine[int]:
    """SQLite numbers rows only in a column that is plainly INTEGER."""
    return sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "alert_states",
        sa.Column("task", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("agent", sa.String, nullable=False),
        sa.Column("alert", sa.String, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("raised", sa.Boolean, nullable=False),
        sa.Column("incident", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("memory", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("task", "agent", "alert", name="pk_alert_states"),
    )
    op.create_table(
        "incidents",
        sa.Column("id", _number(), nullable=False),
        sa.Column("alert", sa.String, nullable=False),
        sa.Column("target", sa.String, nullable=False),
        sa.Column("probe", sa.String, nullable=False),
        sa.Column("agents", sa.JSON, nullable=False),
        sa.Column("begun", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger, nullable=False),
        sa.Column("rounds", sa.BigInteger, nullable=False),
        sa.Column("worst_loss", sa.Float, nullable=False),
        sa.Column("worst_rtt", sa.Float, nullable=True),
        sa.Column("muted", sa.String, nullable=False),
        sa.Column("detail", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_incidents"),
    )
    op.create_index("ix_incidents_begun", "incidents", ["begun"])
    op.create_index("ix_incidents_ended", "incidents", ["ended"])
    op.create_table(
        "silences",
        sa.Column("id", _number(), nullable=False),
        sa.Column("begin", sa.BigInteger, nullable=False),
        sa.Column("end", sa.BigInteger, nullable=False),
        sa.Column("target", sa.String, nullable=False),
        sa.Column("alert", sa.String, nullable=False),
        sa.Column("agent", sa.String, nullable=False),
        sa.Column("author", sa.String, nullable=False),
        sa.Column("comment", sa.String, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_silences"),
    )
    op.create_index("ix_silences_end", "silences", ["end"])
    op.create_table(
        "deliveries",
        sa.Column("id", _number(), nullable=False),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("incident", sa.BigInteger, nullable=False),
        sa.Column("receiver", sa.String, nullable=False),
        sa.Column("what", sa.String, nullable=False),
        sa.Column("notice", sa.JSON, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("error", sa.String, nullable=False),
        sa.Column("output", sa.String, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
    )
    op.create_index("ix_deliveries_state", "deliveries", ["state"])
    op.create_index("ix_deliveries_incident", "deliveries", ["incident"])
    op.create_index("ix_deliveries_key", "deliveries", ["key"], unique=True)
    op.create_table(
        "slave_views",
        sa.Column("agent", sa.String, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("agent", name="pk_slave_views"),
    )
    op.create_table(
        "slave_past",
        sa.Column("agent", sa.String, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.Column("tasks", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("agent", "last", name="pk_slave_past"),
    )
    op.create_table(
        "dynamic_hosts",
        sa.Column("target", sa.String, nullable=False),
        sa.Column("address", sa.String, nullable=False),
        sa.Column("seen", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("target", name="pk_dynamic_hosts"),
    )
