"""An analysis as files to keep: arrays, overlays, a record, a recipe and an HTML summary."""
