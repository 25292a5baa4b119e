"""Define the settings and load them from options, variables and a TOML file."""
