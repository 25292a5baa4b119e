"""HTTP: dispatch requests, read and write bodies, serve the pages."""
