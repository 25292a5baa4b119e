"""Tests of answers that are kept: they must be those of the database, whoever writes."""
