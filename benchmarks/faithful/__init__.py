"""Which map finds the object, and does a map's order matter to the network: docs/faithfulness.md."""
