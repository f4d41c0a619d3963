"""A network of one's own: heads trained on the feature maps of another network, in one folder.

The folder holds `heads.json`, the card, and a safetensors file a head, with its sha256 in the card. The backbone is not
copied: the card says how it was named, and the sha256 that its weights must have.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from explorer.errors import ExplorerError, NetworkError
from explorer.framing import Preprocessing
from explorer.networks.calibration import Calibration
from explorer.networks.cutting.taps import own_copy
from explorer.networks.layers import Layers
from explorer.networks.loading.files import shipped
from explorer.networks.network import ACTIVATIONS, ONE_OUTPUT, Network
from explorer.networks.probing import example_input
from explorer.networks.trained_heads import TrainedPooling, read_trained
from explorer.poolings.learned import KEYS

CARD, FORMAT = "heads.json", 1
_CLOSE = 1e-4  # of the largest logit: how far the whole model may be from its parts
_OPTIONS = ("layer", "head_activation", "output")


@dataclass(frozen=True)
class HeadsCard:
    """What the card of a folder of heads says.

    Attributes:
        folder: where it is.
        title, origin: see Network.
        class_names: one a class.
        activation: "softmax" of heads trained by cross-entropy, "sigmoid" of heads trained one against all.
        backbone: how it was named: network, checkpoint, layer, head_activation, output, preprocessing, and its title
            and sha256.
        cautions: see Network.
    """

    folder: Path
    title: str
    origin: str
    class_names: tuple[str, ...]
    activation: str
    backbone: Mapping[str, Any]
    cautions: tuple[str, ...] = ()

    @property
    def name(self) -> str | Path:
        """What `load_network` takes for the backbone: its name, or a checkpoint's path.

        A checkpoint that is not where it was may lie in the folder of the heads, under the same name. Raises
        NetworkError where it is in neither place.
        """
        checkpoint = self.backbone.get("checkpoint")
        if not checkpoint:
            return str(self.backbone["network"])
        places = Path(checkpoint), self.folder / Path(checkpoint).name
        for place in places:
            if place.is_file():
                return place
        raise NetworkError(f"The heads of {self.folder.name} were trained on the checkpoint {str(places[0])[-120:]!r}, "
                           "which is not there; expected it there, or in the folder of the heads.")

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of `load_network` for the backbone."""
        given = {name: self.backbone[name] for name in _OPTIONS if self.backbone.get(name)}
        if self.backbone.get("checkpoint"):
            given["architecture"] = self.backbone.get("network")
        if written := self.backbone.get("preprocessing"):
            given["preprocessing"] = preprocessing_from(written)
        return given


def is_heads_folder(name: str | os.PathLike) -> bool:
    """Whether a folder of heads is there."""
    try:
        return (Path(name) / CARD).is_file()
    except (OSError, ValueError):
        return False


def read_heads_card(folder: Path) -> HeadsCard:
    """The card of a folder of heads. Raises NetworkError where it is missing, damaged or of another format."""
    with shipped(folder / CARD) as data:
        card = json.loads(data)
        if card["format"] != FORMAT:
            raise NetworkError(f"The heads of {folder.name} are of the format {card['format']!r:.20}; expected "
                               f"{FORMAT}: train them again with this version.")
        backbone, names = dict(card["backbone"]), tuple(map(str, card["classes"]))
        known = isinstance(backbone["sha256"], str) and (backbone.get("checkpoint") or backbone["network"])
        if not known or len(names) < 2 or card["activation"] not in ACTIVATIONS or any(
                Path(head["file"]).name != head["file"] for head in card["heads"].values()):
            raise ValueError
        if not backbone.get("checkpoint") and is_heads_folder(backbone["network"]):  # saving names what is behind it
            raise ValueError
        return HeadsCard(folder, str(card["title"]), str(card["origin"]), names, card["activation"], backbone,
                         tuple(map(str, card["cautions"])))


def preprocessing_from(written: Mapping[str, Any]) -> Preprocessing:
    """A preprocessing as a record has it. Raises ParameterError or TypeError for what is none."""
    known = {field.name for field in fields(Preprocessing)}
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value
                             for name, value in written.items() if name in known}
    return Preprocessing(**given)


def network_of_heads(card: HeadsCard, backbone: Network) -> Network:
    """The network of a folder's heads on their backbone.

    Raises NetworkError: the backbone is another one than the heads were trained on, or a file of a head is missing,
    damaged or was exchanged.
    """
    if backbone.digest != card.backbone["sha256"]:
        raise NetworkError(f"The heads of {card.folder.name} were trained on a backbone with sha256 "
                           f"{card.backbone['sha256'][:12]}..., and {backbone.title} has {backbone.digest[:12]}...; "
                           "expected the same weights.")
    trained = read_trained(card.folder / CARD)
    if not trained or any(len(head.head.bias) != len(card.class_names) for head in trained.values()):  # type: ignore[arg-type]
        raise NetworkError(f"The network's file {CARD} is damaged: its heads are not of its classes.")
    with shipped(card.folder / CARD) as data:
        hashes = {kind: str(head["sha256"]) for kind, head in json.loads(data)["heads"].items()}
    try:
        return with_heads(
            backbone, trained, card.class_names, activation=card.activation, name=str(card.folder.resolve()),
            title=card.title, origin=card.origin, cautions=card.cautions,
            digest=digest_of_heads(backbone.digest, hashes))
    except ExplorerError:
        raise
    except (RuntimeError, ValueError) as error:
        raise NetworkError(f"The heads of {card.folder.name} do not fit their backbone ({error!s:.120}); expected "
                           f"heads for the maps of {backbone.title}.") from None


def digest_of_heads(backbone: str, hashes: Mapping[str, str]) -> str:
    """The digest of a network: of the sha256 of its backbone's weights, and of its heads' files by their kinds."""
    weights = [backbone, *(hashes[kind] for kind in KEYS if kind in hashes)]
    return hashlib.sha256("".join(weights).encode()).hexdigest()


def with_heads(
    backbone: Network, trained: Mapping[str, TrainedPooling], class_names: Sequence[str], *, activation: str,
    name: str, title: str, origin: str, digest: str, cautions: Sequence[str] = (),
) -> Network:
    """A network with the backbone of another one, and heads trained on its feature maps.

    GAP is its own pooling where there is a head for it, else the first one that has a head; the others are its trained
    poolings. Its layers can be looked at where the new head takes the place of the old one within the whole model.

    Args:
        backbone: whose feature maps the heads were trained on.
        trained: at least one head, by the key of its pooling.
        class_names, activation, name, title, origin, digest, cautions: of the new network, see Network.
    """
    others = dict(trained)
    own = others.pop("gap" if "gap" in others else next(iter(others)))
    kept = tuple(caution for caution in backbone.cautions if caution != ONE_OUTPUT)
    made = replace(
        backbone, name=name, title=title, origin=origin, digest=digest, class_names=tuple(class_names),
        pooling=own.pooling.with_default(*own.parameters.values()) if own.parameters else own.pooling,
        pooling_parameters=own.parameters, head=own.head, trained=others, activation=activation,
        calibration=Calibration(), siblings={}, cautions=(*kept, *cautions), layers=Layers(),
    )
    return replace(made, layers=_layers(backbone, made))


@torch.no_grad()
def _layers(backbone: Network, made: Network) -> Layers:
    """The layers of the whole model with the new head in the old one's place; none where that cannot be."""
    whole = backbone.layers.model
    linears = [module for module in backbone.head.modules() if isinstance(module, nn.Linear)]
    if whole is None or len(linears) != 1:
        return Layers()
    copied, x = own_copy(whole), example_input(backbone.preprocessing)
    places = [name for name, module in copied.named_modules() if isinstance(module, nn.Linear)
              and module.weight.data_ptr() == linears[0].weight.data_ptr()]
    if len(places) != 1 or not isinstance(made.head, nn.Linear):
        return Layers()
    above, _, last = places[0].rpartition(".")
    setattr(copied.get_submodule(above), last, made.head)
    layers = Layers(copied, x)
    logits = made(x)
    near = layers.all and float((layers.logits(x) - logits).abs().max()) <= _CLOSE * float(logits.abs().max() + 1)
    return layers if near else Layers()
