"""What became of heads trained on a run: how each does, and the network that they make."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import explorer
from explorer.checks import checked_key
from explorer.errors import RunError
from explorer.folder.run import Run, options_from
from explorer.heads import Head
from explorer.heads.saving import head_bytes, save_heads
from explorer.heads.training import LOSSES
from explorer.networks import BUNDLED, Network
from explorer.networks.loading.heads_folder import digest_of_heads, read_heads_card, with_heads
from explorer.networks.loading.options import names_heads
from explorer.networks.trained_heads import TrainedPooling, linear_of
from explorer.poolings.learned import KEYS, pooling_with


@dataclass(frozen=True, eq=False)
class HeadOutcome:
    """A kind of head trained by a loss, and how it does on the test photos.

    Attributes:
        kind, loss: keys of KINDS and LOSSES.
        right, photos: of the test photos.
        low, high: the 95% interval of their share, after Wilson.
        validation_accuracy: of the photos that decided when to stop.
        parameters: how many numbers were learned.
        epochs: steps of training that the head is of: those with the smallest validation loss.
        seconds: that preparing the maps and training took.
        inside: mean share of the positive evidence for the label that lies inside the photo's boxes; None without any.
        boxed: test photos that this is a mean of.
        head: (N, C, H, W) to logits (N, classes).
    """

    kind: str
    loss: str
    right: int
    photos: int
    low: float
    high: float
    validation_accuracy: float
    parameters: int
    epochs: int
    seconds: float
    inside: float | None
    boxed: int
    head: Head = field(repr=False)

    @property
    def accuracy(self) -> float:
        """The share of the test photos whose largest logit is their label's."""
        return self.right / self.photos

    @property
    def is_network(self) -> bool:
        """Whether it is a pooling and a Linear, which a network can be made of."""
        return self.kind in KEYS

    def numbers(self) -> dict[str, Any]:
        """All of it but the head, as JSON has it."""
        return {name: getattr(self, name) for name in (
            "kind", "loss", "accuracy", "low", "high", "right", "photos", "validation_accuracy", "parameters",
            "epochs", "seconds", "inside", "boxed")}


@dataclass(frozen=True, eq=False)
class HeadsOnRun:
    """The heads that were trained on a run so far.

    Attributes:
        run: whose photos, labels and network.
        backbone: how a card names the network's backbone, see `backbone_of`.
        classes: the labels that were learned, one a class.
        counts: photos by part: train, validation, test.
        left_out: labels with too few photos, and how many those have.
        beyond, unread: photos beyond the memory allowed, and photos that could not be read.
        shape: (C, H, W) of the feature maps.
        chance: mean share of the positions of the test photos with boxes that lies inside: what evidence spread evenly
            would hold; None without boxes.
        outcomes: kind by kind, and of a kind loss by loss.
        of: how many outcomes there will be.
    """

    run: Run
    backbone: Mapping[str, Any]
    classes: tuple[str, ...]
    counts: Mapping[str, int]
    left_out: tuple[tuple[str, int], ...]
    beyond: int
    unread: int
    shape: tuple[int, int, int]
    chance: float | None
    outcomes: tuple[HeadOutcome, ...]
    of: int

    def losses(self) -> tuple[str, ...]:
        """The losses of those heads that a network can be made of, in the order they were given."""
        return tuple(dict.fromkeys(one.loss for one in self.outcomes if one.is_network))

    def heads(self, loss: str | None = None) -> dict[str, Head]:
        """The heads that a network can be made of, by kind; of one loss, None being the first one.

        Raises RunError: there are none.
        """
        if not self.losses():
            raise RunError(f"No network can be made of {', '.join(sorted({one.kind for one in self.outcomes}))}, which "
                           f"are no pooling and a Linear; expected one of {', '.join(KEYS)} among the kinds.")
        chosen = self.losses()[0] if loss is None else checked_key(loss, self.losses(), "loss of these heads")
        heads = {one.kind: one.head for one in self.outcomes if one.is_network and one.loss == chosen}
        return {kind: heads[kind] for kind in KEYS if kind in heads}

    def network(self, loss: str | None = None) -> Network:
        """A network with the run's backbone and these heads: GAP is its own pooling, the others are trained ones.

        It answers with the heads of one loss, None being the first one. Heads trained one against all make a network
        whose probabilities are of each class alone (sigmoid).

        Raises RunError: no head is a pooling and a Linear.
        """
        heads, about = self.heads(loss), self._about(loss)
        trained = {KEYS[kind]: TrainedPooling(*pooling_with(kind, state), linear_of(state))
                   for kind, state in ((kind, head.state_dict()) for kind, head in heads.items())}
        hashes = {kind: head_bytes(head)[1] for kind, head in heads.items()}
        return with_heads(self.run.network, trained, self.classes, activation=about["activation"], name="module",
                          title=about["title"], origin=about["origin"], cautions=about["cautions"],
                          digest=digest_of_heads(self.backbone["sha256"], hashes))

    def save(self, folder: str | os.PathLike, loss: str | None = None) -> Path:
        """Write the network of `network(loss)` as a folder that `load_network` takes; the folder.

        It holds the heads and a card. The backbone is not copied: the card names it as the run does.

        Raises RunError: no head is a pooling and a Linear, the folder holds other things or cannot be written to, or
            the run's network was made in Python, so that no card can name it.
        """
        heads, backbone = self.heads(loss), dict(self.backbone)
        if backbone["network"] is None and backbone["checkpoint"] is None:
            raise RunError("The run is of a network that was made in Python, which a folder cannot name; expected the "
                           "heads to be used in Python, by network(), or a run of a network with a name or a file.")
        about = self._about(loss)
        return save_heads(folder, heads, about | {
            "classes": list(self.classes), "backbone": backbone, "version": explorer.__version__,
            "framing": self.run.recipe["framing"], "feature_maps": list(self.shape), "photos": dict(self.counts),
            "outcomes": [one.numbers() for one in self.outcomes]})

    def _about(self, loss: str | None) -> dict[str, Any]:
        chosen = self.losses()[0] if loss is None else loss
        framing, usual = self.run.recipe["framing"], self.run.recipe["network"]["preprocessing"]["size"]
        size = framing["short_side"] or usual
        own = framing["kind"] == "crop" and size == usual
        return {
            "title": f"{self.backbone['title']}, trained on {self.run.photos.name}", "loss": chosen,
            "activation": LOSSES[chosen].activation,
            "origin": f"heads trained on {self.counts['train']:,} photos of the folder {self.run.photos.name}",
            "cautions": [] if own else [f"Its heads were trained on photos framed as {framing['kind']}, {size} px."],
        }


def backbone_of(run: Run) -> dict[str, Any]:
    """How a card names the backbone of a run's network: as the run's record does, or as the folder of heads does that
    the run is of. `network` and `checkpoint` are None for a network that was made in Python."""
    there = run.recipe["network"]
    written = there["options"] or {}
    changed = any(written.get(name) for name in ("size", "mean", "std", "order"))
    preprocessing = there["preprocessing"] if changed else None
    if written and names_heads(options := options_from(written)):
        behind = read_heads_card(Path(str(options.network))).backbone
        return {**behind, "preprocessing": preprocessing or behind.get("preprocessing")}
    usual = next(iter(BUNDLED)) if written and not written.get("checkpoint") else None
    return {
        "network": written.get("network") or usual,
        **{key: written.get(key) for key in ("checkpoint", "layer", "head_activation", "output")},
        "preprocessing": preprocessing, "title": there["title"], "sha256": there["sha256"]}
