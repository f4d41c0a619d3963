"""The panel of live.js: it is given a network and a photo's feature maps once, and answers by itself from then on."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from explorer import Analysis
from explorer.live.data import network_data, photo_data
from explorer.networks import Network
from explorer.ui.components.library import handler, part
from explorer.ui.components.viewer import source
from explorer.ui.session.page_cache import drawn

MOST_BYTES = 24 * 2**20  # of a head's weights and the maps together, before they are deflated
_NETWORKS: WeakKeyDictionary[Network, tuple[str, bytes]] = WeakKeyDictionary()  # written once, for all sessions
_LOCK = threading.Lock()

_panel = part("intervene", '<div class="intervene"><p class="wait" role="status">The head and the feature maps are on '
                           "their way to the browser, where they are needed once.</p></div>")


def bytes_to_send(analysis: Analysis) -> int:
    """About how much the panel needs, before it is deflated: two bytes a weight, four a number of the maps."""
    heads = sum(parameter.numel() for head in analysis.network.heads for parameter in head.parameters())
    return 2 * heads + 4 * analysis.feature_maps.numel()


def network_key(network: Network) -> str:
    """Under which the panel finds what follows the feature maps."""
    return _of_network(network)[0]


def put_network(network: Network) -> None:
    """Give the page what follows the feature maps: megabytes, and so only when the panel says that it lacks them.

    Streamlit would send them again on every page.
    """
    source(_of_network(network)[1], key="live_network")


def _of_network(network: Network) -> tuple[str, bytes]:
    with _LOCK:
        if network not in _NETWORKS:
            _NETWORKS[network] = _sent("network", network_data(network))
        return _NETWORKS[network]


def put_maps(analysis: Analysis, class_index: int) -> str:
    """Give the page a photo's feature maps, without the photo that `put_photo` gave it; the key of them.

    Where the head is not affine the class is at hand in them.
    """
    def make(*also: int) -> tuple[str, bytes, list[int] | None]:
        content = photo_data(analysis, photo=False, classes=also)
        return *_sent("maps", content), content.get("classes")

    key, data, at_hand = drawn(analysis, "live maps", make)
    if at_hand is not None and class_index not in at_hand:
        key, data, _ = drawn(analysis, ("live maps", class_index), lambda: make(class_index))
    source(data, key="live_maps")
    return key


def _sent(kind: str, content: dict[str, Any]) -> tuple[str, bytes]:
    """A key that no other content has, and the JSON for `source`."""
    text = json.dumps(content)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return key, f'{{"{kind}": {{"key": "{key}", "content": {text}}}}}'.encode()


def live_panel(
    analysis: Analysis, maps_key: str, photo: Mapping[str, str], state: Mapping[str, Any], number: int, key: str,
    on_state: Callable[[dict[str, Any]], None], on_lack: Callable[[str], None],
) -> None:
    """Show the panel once the page has the network and the maps.

    Args:
        maps_key: from `put_maps`.
        photo: its key in the page, and its name.
        state: class "c", "pooling" and "parameter", "calibrated" and "change", as the page has them.
        number: that of the last state that came from the browser: an older one is never put in its place.
        on_state: gets a state and its number, as "n", a moment after the reader changed something.
        on_lack: gets the key of a network that the page lacks and `put_network` would give it.
    """
    framing = analysis.framing
    data = {"network": network_key(analysis.network), "maps": maps_key, "state": dict(state), "number": number,
            "photo": {**photo, "size": list(framing.photo_size), "seen": [float(edge) for edge in framing.seen]}}
    _panel(data=data, key=key, on_state_change=handler(key, "state", on_state),
           on_lack_change=handler(key, "lack", on_lack))
