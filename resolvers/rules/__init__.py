"""The rules of the model: what a write accepts, checks and changes."""
