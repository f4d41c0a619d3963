"""PoolScope's package: an image classifier's answer, decomposed over the positions of a photo."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explorer.analysis import Analysis, analyse
    from explorer.cams import CAM_METHODS
    from explorer.errors import ExplorerError
    from explorer.images import read_image
    from explorer.networks import load_network
    from explorer.poolings import POOLINGS

__all__ = ["CAM_METHODS", "POOLINGS", "Analysis", "ExplorerError", "analyse", "load_network", "read_image"]
__version__ = "0.1.0"
_MODULES = {
    "Analysis": "analysis", "analyse": "analysis", "CAM_METHODS": "cams", "ExplorerError": "errors",
    "read_image": "images", "load_network": "networks", "POOLINGS": "poolings",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: torch takes seconds, in which an app may already show something (PEP 562)."""
    if name in _MODULES:
        return getattr(import_module(f"explorer.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'explorer' has no attribute {name!r}")
