"""Heads trained on frozen feature maps, each with its own pooling; their files; how much each learns by heart."""

from explorer.heads.head_files import Quantised, Sample, read_card, read_heads, sample
from explorer.heads.kinds import KINDS, Head
from explorer.heads.overfitting import Run, Summary, summaries, training_runs
from explorer.heads.training import BUDGET, Budget, Epoch, TrainedHead

__all__ = [
    "BUDGET", "KINDS", "Budget", "Epoch", "Head", "Quantised", "Run", "Sample", "Summary", "TrainedHead", "read_card",
    "read_heads", "sample", "summaries", "training_runs",
]
