"""Connect to PostgreSQL: the pool, transactions, notifications and failures."""
