"""Viewers: the authenticated callers, and what they can see and do."""
