"""The source kind ``mqtt``: an action publishes a message."""
