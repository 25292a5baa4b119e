"""Values of the model: ids, cursors, texts, enums and strict JSON."""
