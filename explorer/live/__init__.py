"""The algebra after the feature maps, in the browser: its data, its scripts, and pages that work without a server."""
