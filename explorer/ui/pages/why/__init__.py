"""The panels of the page on why: one for each question."""
