"""Run the one forward pass that an analysis is made of."""

from __future__ import annotations

import time

import torch
from PIL import Image
from torch import Tensor

from explorer.analysis.analysis import Analysis
from explorer.errors import ExplorerError, FramingError
from explorer.framing import Framing, frame
from explorer.images import read_image
from explorer.networks.cutting.taps import first_line
from explorer.networks.layers import Layer
from explorer.networks.network import Network


def analyse(
    network: Network, image: Image.Image, framing: str = "crop", short_side: int | None = None,
    layer: str | None = None,
) -> Analysis:
    """Run one forward pass and keep what it left.

    Args:
        network: from `load_network`.
        image: RGB PIL image, as `read_image` gives it (other modes are converted).
        framing: "crop", "whole" or "squash".
        short_side: of the network's input, 96 to 640 px; None is the size that the network was trained on.
        layer: key of one of `network.layers.all`, whose maps are looked at; None is the final feature maps. The pass
            then ends at that layer, and the logits cost another one.

    Raises:
        ParameterError, FramingError: see `explorer.framing.frame`; a FramingError too where the network itself refuses
            an input of that size.
        MethodError: the network has no such layer.
    """
    image = image if image.mode == "RGB" else read_image(image)
    return analyse_input(network, image, *frame(image, network.preprocessing, framing, short_side), layer)


def analyse_input(
    network: Network, image: Image.Image, x: Tensor, framing: Framing, layer: str | None = None
) -> Analysis:
    """`analyse` for a photo that is framed already: `x` and `framing` as `explorer.framing.frame` gives them."""
    chosen = None if layer is None else network.layers.of(layer)
    begin = time.perf_counter()
    feature_maps = _run(network, x, chosen)[0]
    seconds = time.perf_counter() - begin
    engine = network.engine.runs(x) if chosen is None else "torch"
    return Analysis(network, image, framing.on_grid(*feature_maps.shape[1:]), x, feature_maps, seconds, chosen, engine)


@torch.no_grad()
def _run(network: Network, x: Tensor, layer: Layer | None) -> Tensor:
    """(1, C, H, W): the feature maps or a layer's. A network may take some sizes and refuse others in any way."""
    try:
        return network.engine(x) if layer is None else network.layers.maps(x, layer.key)
    except ExplorerError:
        raise
    except Exception as error:
        (height, width), own = x.shape[-2:], network.preprocessing.size
        raise FramingError(f"{network.title} cannot take an input of {width} x {height} px ({first_line(error)}); "
                           f"expected its own {own} x {own} px, or another size that it takes.") from None
