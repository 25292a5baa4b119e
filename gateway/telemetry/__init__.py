"""Expose metrics to operators."""
