"""Tables, figures and pages generated from result rows."""
