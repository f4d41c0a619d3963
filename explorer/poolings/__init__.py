"""The global poolings: the eight of the registry, those that networks bring, and learned ones."""

from explorer.poolings.choice import PoolingChoice
from explorer.poolings.registry import POOLINGS, Parameter, Pooling, parse_pooling, pooling_of

__all__ = ["POOLINGS", "Parameter", "Pooling", "PoolingChoice", "parse_pooling", "pooling_of"]
