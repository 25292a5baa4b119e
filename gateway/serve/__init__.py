"""The `serve` command: the listening port and its worker processes."""
