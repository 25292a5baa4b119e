"""Access tokens: issue them, read them from a header, verify them."""
