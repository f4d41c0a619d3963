"""Heads trained on frozen feature maps, each with its own pooling, and what can be learned from training them."""

from explorer.heads.files import Sample, read_card, read_heads, sample, save_head, save_sample
from explorer.heads.kinds import KINDS, Head
from explorer.heads.overfitting import Overfitting, Run, Summary, each_run, overfitting, summarised
from explorer.heads.quantised import Quantised, quantise
from explorer.heads.training import BUDGET, Budget, Epoch, TrainedHead, train_heads

__all__ = [
    "BUDGET", "KINDS", "Budget", "Epoch", "Head", "Overfitting", "Quantised", "Run", "Sample", "Summary", "TrainedHead",
    "each_run", "overfitting", "quantise", "read_card", "read_heads", "sample", "save_head", "save_sample",
    "summarised", "train_heads",
]
