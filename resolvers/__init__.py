"""The meaning: the GraphQL schema, who may do what, and how operations run."""
