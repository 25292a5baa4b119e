"""PostgreSQL: the relational model, reads, writes, connections and migrations."""
