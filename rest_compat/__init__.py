"""The two legacy REST dialects, each a table of routes mapped to GraphQL operations."""
