"""What the live app's page knows of its network."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from explorer.networks import Network


def network_data(network: Network) -> dict[str, Any]:
    """Title, preprocessing and class names, for JSON."""
    return {
        "title": network.title,
        "preprocessing": asdict(network.preprocessing),
        "names": list(network.class_names),
    }
