"""The commands of `python -m explorer`: one that shows what a network predicts, and one that asks why."""
