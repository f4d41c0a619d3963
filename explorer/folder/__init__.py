"""A folder of photos: one row a photo, in a run that can be stopped, resumed and queried."""

from explorer.folder.heads import train_heads
from explorer.folder.run import Run
from explorer.folder.scanning import scan

__all__ = ["Run", "scan", "train_heads"]
