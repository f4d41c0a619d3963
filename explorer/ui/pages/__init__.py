"""The panels of each page."""
