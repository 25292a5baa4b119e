"""Test the gateway while its database fails: under load, with every acknowledged write recorded."""
