"""The GraphQL schema: types, filters, inputs, queries and mutations."""
