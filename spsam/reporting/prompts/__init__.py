"""Tables and the heat map of a study of prompts, from rows."""
