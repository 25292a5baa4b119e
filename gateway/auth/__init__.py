"""Issue, read and verify access tokens."""
