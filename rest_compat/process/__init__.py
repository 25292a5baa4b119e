"""Implement the /process dialect: complete processes, their parts, and executions."""
