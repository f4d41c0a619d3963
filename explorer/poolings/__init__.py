"""The global poolings: the eight of the registry, those that networks bring, and learned ones."""

from explorer.poolings.registry import POOLINGS, Parameter, Pooling, parse_pooling, pooling_of

__all__ = ["POOLINGS", "Parameter", "Pooling", "parse_pooling", "pooling_of"]
