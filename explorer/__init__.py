"""PoolScope's package: an image classifier's answer, decomposed over the positions of a photo."""

from explorer.analysis import Analysis, analyse
from explorer.cams import CAM_METHODS
from explorer.errors import ExplorerError
from explorer.images import read_image
from explorer.networks import load_network
from explorer.poolings import POOLINGS

__all__ = ["CAM_METHODS", "POOLINGS", "Analysis", "ExplorerError", "analyse", "load_network", "read_image"]
__version__ = "0.1.0"
