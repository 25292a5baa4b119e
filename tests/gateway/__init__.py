"""Tests of the running server: its commands, its processes, its HTTP and its pages."""
