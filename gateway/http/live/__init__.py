"""Serve GraphQL over WebSockets and as server-sent events."""
