"""The study of prompts: which prompts, which point, from where; planned, answered, gathered."""
