"""Define the database schema as numbered SQL files, and apply them."""
