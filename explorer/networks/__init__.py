"""Networks: where they come from, and the parts they are cut into."""

from explorer.networks.loading.bundled import BUNDLED
from explorer.networks.loading.load import load_network
from explorer.networks.network import Network

__all__ = ["BUNDLED", "Network", "load_network"]
