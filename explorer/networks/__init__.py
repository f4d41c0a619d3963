"""Networks: where they come from, and the parts they are cut into."""

from explorer.networks.bundled import BUNDLED
from explorer.networks.network import Network
from explorer.networks.sources import load_network

__all__ = ["BUNDLED", "Network", "load_network"]
