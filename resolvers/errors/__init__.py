"""The error catalogue, and the translation of exceptions into it."""
