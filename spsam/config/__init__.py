"""Configuration: where shipped files lie, strict YAML, the schema, composition and identity."""
