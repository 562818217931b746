"""Where rounds are kept: ClickHouse for rounds, SQL for the catalogue."""
