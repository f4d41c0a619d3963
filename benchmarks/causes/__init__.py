"""Are causes found that were planted, and at what price are they muted? See docs/causes.md."""
