"""Serve HTTP: dispatch requests, read and write bodies, limit rates, serve pages."""
