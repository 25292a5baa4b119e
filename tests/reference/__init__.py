"""A reference implementation of reads in plain Python, for property tests."""
