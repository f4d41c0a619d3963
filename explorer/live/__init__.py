"""The algebra in the browser, and what it needs of a network."""
