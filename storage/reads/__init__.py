"""Compile a read plan to one SQL statement that returns JSON."""
