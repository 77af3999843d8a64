"""Configuration: location of shipped files, strict YAML, the schema, composition and identity."""
