"""A network as a command line names it, with the same options for the app and for `python -m explorer`."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

from explorer.errors import ParameterError
from explorer.framing import Preprocessing
from explorer.networks.loading.blueprints import describe
from explorer.networks.loading.bundled import BUNDLED
from explorer.networks.loading.heads_folder import is_heads_folder
from explorer.networks.loading.known_networks import identify
from explorer.networks.loading.load import load_network, look_into
from explorer.networks.loading.own_head import ACTIVATIONS
from explorer.networks.network import Network
from explorer.progress import Progress


@dataclass(frozen=True)
class Options:
    """The options of a network on a command line; None where one was not given.

    Attributes:
        network: a name, a folder of trained heads, or with a checkpoint its architecture.
        checkpoint, classes: files.
        size, mean, std: of the preprocessing.
        activation: "softmax", "sigmoid" or "none"; order of the colours: "rgb" or "bgr".
        layer: path of the module after which to cut.
        head_activation: assumed between the Linears of a checkpoint's head.
        output: of an ONNX file, the name of the one that has the logits.
    """

    network: str | None = None
    checkpoint: Path | None = None
    classes: Path | None = None
    size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    activation: str | None = None
    order: str | None = None
    layer: str | None = None
    head_activation: str = "relu"
    output: str | None = None

    @property
    def given(self) -> bool:
        """Whether they name a network."""
        return self.network is not None or self.checkpoint is not None


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of a network, but for its size."""
    parser.add_argument("--network", metavar="NAME",
                        help=f"bundled ({', '.join(BUNDLED)}; the first unless one is named), of torchvision or timm "
                             "(resnet50, timm/resnet50.a1_in1k: fetched on first use), a folder that python -m "
                             "explorer heads has written, or a checkpoint's architecture")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE",
                        help="your own weights: safetensors or what torch.save wrote, whatever its ending, whose "
                             "architecture is found by its tensors, or named by --network; or a whole network: .onnx")
    parser.add_argument("--classes", type=Path, metavar="FILE", help="names of its classes, .txt or .json")
    parser.add_argument("--mean", type=_numbers, metavar="R,G,B", help="of its input, for pixels from 0 to 1")
    parser.add_argument("--std", type=_numbers, metavar="R,G,B", help="likewise")
    parser.add_argument("--bgr", action="store_const", const="bgr", dest="order",
                        help="its input has blue first, as OpenCV reads photos")
    parser.add_argument("--activation", choices=("softmax", "sigmoid", "none"),
                        help="softmax: one class of many; sigmoid: each class alone (multi-label); none: values "
                             "(regression)")
    parser.add_argument("--sigmoid", action="store_const", const="sigmoid", dest="activation",
                        help="the same as --activation sigmoid")
    parser.add_argument("--head-activation", choices=list(ACTIVATIONS), default="relu",
                        help="of a checkpoint: what stands between the Linears of its head, which no file says")
    parser.add_argument("--output", metavar="NAME", help="of an .onnx file with several outputs: which has the logits")
    parser.add_argument("--layer", metavar="PATH", help="cut after this module, where the pooling is not found")


def options_as_written(options: Options) -> dict[str, Any]:
    """The options as JSON has them, with whole paths."""
    written = {name: str(value.resolve()) if isinstance(value, Path) else
               list(value) if isinstance(value, tuple) else value for name, value in asdict(options).items()}
    if names_heads(options):
        written["network"] = str(Path(str(options.network)).resolve())
    return written


def names_heads(options: Options) -> bool:
    """Whether the network that they name is a folder of trained heads."""
    return (options.checkpoint is None and options.network is not None and options.network not in BUNDLED
            and is_heads_folder(options.network))


def options_of(parsed: argparse.Namespace, size: int | None = None) -> Options:
    """The options of a parsed command line; `size` is that of the network's input, where it was given."""
    return Options(parsed.network, parsed.checkpoint, parsed.classes, size, parsed.mean, parsed.std,
                   parsed.activation, parsed.order, parsed.layer, parsed.head_activation, parsed.output)


def load_from_options(options: Options, progress: Progress | None = None) -> Network:
    """The network of these options. Raises ExplorerError."""
    more: dict[str, Any] = {
        "class_names": options.classes, "preprocessing": _preprocessing(options),
        "activation": options.activation, "layer": options.layer,
    }
    if options.checkpoint is None:
        return load_network(options.network or next(iter(BUNDLED)), progress=progress, **more)
    if not options.checkpoint.is_file():
        raise ParameterError(f"There is no file {str(options.checkpoint)[-120:]!r}; expected a checkpoint.")
    return load_network(options.checkpoint, architecture=options.network,
                        head_activation=options.head_activation, output=options.output, **more)


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _preprocessing(options: Options) -> Preprocessing | None:
    changes = {name: value for name in ("size", "mean", "std", "order")
               if (value := getattr(options, name)) is not None}
    if not changes:
        return None
    architecture = options.network
    if architecture is None and options.checkpoint is not None:
        architecture = look_into(options.checkpoint, options.checkpoint.name).architecture
    return replace(usual_preprocessing(architecture), **changes)


@cache
def usual_preprocessing(architecture: str | None) -> Preprocessing:
    """What the trained weights of an architecture want of their input; ImageNet's usual one for none.

    Raises NetworkError when there is no such architecture.
    """
    if architecture is None or architecture.lower().endswith(".onnx"):
        return Preprocessing()
    if architecture in BUNDLED or is_heads_folder(architecture):
        return load_network(architecture).preprocessing
    return describe(identify(architecture), nn.Identity(), classes=1).preprocessing
