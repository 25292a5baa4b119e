"""The running server: settings, tokens, HTTP, processes and telemetry."""
