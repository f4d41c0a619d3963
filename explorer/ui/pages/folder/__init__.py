"""The page of a folder of photos."""
