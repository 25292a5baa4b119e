"""The running server: settings, command line, HTTP."""
