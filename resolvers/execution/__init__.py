"""Running processes: the engine, the values it is given, and the kinds of source."""
