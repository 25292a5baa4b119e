"""Scripts that call every operation through generated clients, and lock files of their tools."""
