"""The HTML pages: GraphiQL, the REST documentation and the entry page."""
