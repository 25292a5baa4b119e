"""Connections: the pool, transactions, notifications and failures."""
