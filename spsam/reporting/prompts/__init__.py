"""Tables and the heat map of a prompt study, generated from rows."""
