"""Run the ``serve`` command: the port and the worker processes."""
