"""The built-in judges: one that reads stored verdicts, one that is a local model."""
