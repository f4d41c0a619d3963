"""How a model is run, watched and traced until the place is found where its global pooling lies."""
