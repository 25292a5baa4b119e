"""Execute processes: the engine, input values and source kinds."""
