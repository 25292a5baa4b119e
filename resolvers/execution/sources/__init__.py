"""Source kinds: what an action can act on."""
