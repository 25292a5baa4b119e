"""The pipeline from a GraphQL document to an answer."""
