"""Values of the model: IDs, cursors, texts, enums and strict JSON."""
