"""What the commands of `python -m explorer` share, and the one that asks why."""
