"""The mutations, one module for each noun of the model."""
