"""The database: its model, the SQL of reads and writes, connections and migrations."""
