"""The database schema, as numbered SQL files."""
