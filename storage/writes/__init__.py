"""Write rows, and read the rows that writes and executions need, in the caller's transaction."""
