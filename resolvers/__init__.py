"""What the API means: schema, operations, rules, execution, access, values and errors."""
