"""OpenAPI documents of the legacy dialects."""
