"""The /process dialect: whole processes and everything that can be done to them."""
