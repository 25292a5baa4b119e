"""The source kind ``http``: an action is a request to an HTTP API."""
