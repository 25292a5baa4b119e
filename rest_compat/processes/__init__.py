"""Implement the /processes dialect: names and comments of processes, one or many at a time."""
