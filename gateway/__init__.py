"""The server: settings, access tokens, HTTP, processes, metrics and the command line."""
