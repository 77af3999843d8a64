"""Tables and files made from result rows."""
