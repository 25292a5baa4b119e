"""Open the database: an external PostgreSQL or the embedded one."""
