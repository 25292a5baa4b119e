"""The statements of writes, each run inside the caller's transaction."""
