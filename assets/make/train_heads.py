"""Train the shipped heads on photos of five kinds of flowers, each with its own pooling.

    python assets/make/train_heads.py FOLDER

FOLDER holds photos in train/CLASS/ and val/CLASS/. The photos in val are never trained on and never decide when to
stop: a tenth of those in train does that. Writes assets/heads: a safetensors file a head, the feature maps of a sample
of the photos (numbers, no photos), and flowers.json with the measurements.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from explorer import analyse, load_network, read_image
from explorer.checks import checked_whole
from explorer.errors import ParameterError
from explorer.heads import BUDGET, KINDS, Budget, Head, Quantised, Sample, TrainedHead
from explorer.heads.head_files import HEADS
from explorer.heads.kinds import kinds_of
from explorer.heads.training import Photos, fit, loss_and_accuracy
from explorer.progress import Progress

NETWORK = "efficientnet_lite0"
FRAMING = "crop"
STOPPING, SEED = 0.1, 0
SAMPLED = {"train": 80, "val": 40}  # photos a class
STEPS, HIGHEST = 31, 6.0  # of the sample's activations; ReLU6 ends at 6
REQUIRED = {"gap": 0.9, "gmp": 0.87, "gem": 0.9, "attention": 0.88}  # accuracy on the validation photos


def make(folder: Path) -> None:
    network = load_network(NETWORK)
    classes = sorted(path.name for path in (folder / "train").iterdir() if path.is_dir())
    photos = {part: [sorted((folder / part / name).glob("*.jpg")) for name in classes] for part in ("train", "val")}
    maps = {part: extract(network, [path for paths in of_class for path in paths]) for part, of_class in photos.items()}
    labels = {part: torch.tensor([index for index, paths in enumerate(of_class) for _ in paths])
              for part, of_class in photos.items()}
    HEADS.mkdir(exist_ok=True)
    stopping = drawn(labels["train"])
    trained = train_heads(maps["train"], labels["train"], validation=stopping, progress=report)
    sample = sampled(photos, maps, labels, classes)
    sample_sha256 = save_sample(sample, HEADS / "flowers_sample.npz")
    card: dict[str, Any] = {
        "command": "python assets/make/train_heads.py FOLDER",
        "classes": classes,
        "backbone": {"network": NETWORK, "sha256": network.digest},
        "framing": f"{FRAMING}, {network.preprocessing.size} px",
        "feature_maps": list(maps["train"].shape[1:]),
        "photos": {
            "train": int((~stopping).sum()),
            "stopping": int(stopping.sum()),
            "validation": len(labels["val"]),
        },
        "seed": SEED, "budget": asdict(BUDGET), "torch": torch.__version__.split("+")[0],
        "note": "train: learned from; stopping: photos of the train folder that told when to stop; validation: photos "
                "of the val folder, used for nothing but these numbers; sample: the sample's part of them, quantised. "
                "All are of the heads as they are stored, in fp16.",
        "asked": REQUIRED, "short": {}, "heads": {}, "sample": {},
    }
    for kind, head in trained.items():
        card["heads"][kind] = write(kind, head) | measured(head.module, maps, labels, sample)
        print(kind, json.dumps(card["heads"][kind]), flush=True)
        if reason := short_of(kind, card["heads"][kind]["validation"]["accuracy"], len(labels["val"])):
            card["short"][kind] = reason
    card["sample"] = {
        "file": "flowers_sample.npz", "sha256": sample_sha256, "photos_a_class": SAMPLED,
        "steps": STEPS, "highest": HIGHEST, "quantisation": quantisation_cost(sample, maps, labels, photos),
    }
    (HEADS / "flowers.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def extract(network: Any, paths: list[Path]) -> Tensor:
    """(N, C, H, W)"""
    return torch.stack([analyse(network, read_image(path), FRAMING).feature_maps for path in paths])


def report(done: int, total: int) -> None:
    if done % 50 == 0:
        print(f"{time.strftime('%X')} {done} of {total} epochs", flush=True)


def write(kind: str, head: TrainedHead) -> dict[str, Any]:
    """The head's file, and how its training went; the module becomes what is stored."""
    file = f"flowers_{kind}.safetensors"
    sha256 = save_head(head.module, HEADS / file)
    head.module.half().float()
    return {"file": file, "sha256": sha256, "parameters": sum(weight.numel() for weight in head.module.parameters()),
            "epochs": head.history[-1].epoch, "kept_epoch": head.kept.epoch}


def short_of(kind: str, accuracy: float, photos: int) -> str:
    """By how much the required accuracy is missed, in words; "" where it is reached."""
    if accuracy >= REQUIRED.get(kind, 0):
        return ""
    error = 100 * math.sqrt(accuracy * (1 - accuracy) / photos)
    return (f"{round(accuracy * photos)} of {photos} photos right, {math.ceil(REQUIRED[kind] * photos)} were required; "
            f"the standard error of such a number is {error:.1f} percentage points")


def measured(head: Head, maps: dict[str, Tensor], labels: dict[str, Tensor], sample: Sample) -> dict[str, Any]:
    stopping = drawn(labels["train"])
    return {
        "train": numbers(head, maps["train"][~stopping], labels["train"][~stopping]),
        "stopping": numbers(head, maps["train"][stopping], labels["train"][stopping]),
        "validation": numbers(head, maps["val"], labels["val"]),
        "sample": numbers(head, sample.features.floats(sample.validation), sample.labels[sample.validation]),
    }


@torch.no_grad()
def numbers(head: Head, maps: Tensor, labels: Tensor) -> dict[str, float]:
    loss, accuracy = loss_and_accuracy(torch.cat([head(part) for part in maps.split(100)]), labels)
    return {"accuracy": round(accuracy, 4), "loss": round(loss, 4)}


def drawn(labels: Tensor) -> Tensor:
    """(N,) bool: the photos of each class that decide when to stop."""
    generator, held_out = torch.Generator().manual_seed(SEED), torch.zeros(len(labels), dtype=torch.bool)
    for index in range(int(labels.max()) + 1):
        photos = torch.nonzero(labels == index).flatten()
        order = torch.randperm(len(photos), generator=generator)
        held_out[photos[order[:max(1, round(STOPPING * len(photos)))]]] = True
    return held_out


def chosen(photos: list[list[Path]], part: str) -> Tensor:
    """Indices of the sample's photos, evenly through each class's sorted names."""
    first, indices = 0, []
    for paths in photos:
        indices += [first + n * len(paths) // SAMPLED[part] for n in range(SAMPLED[part])]
        first += len(paths)
    return torch.tensor(indices)


def sampled(
    photos: dict[str, list[list[Path]]], maps: dict[str, Tensor], labels: dict[str, Tensor], classes: list[str]
) -> Sample:
    which = {part: chosen(photos[part], part) for part in photos}
    names = {part: [path.name for paths in photos[part] for path in paths] for part in photos}
    return Sample(
        quantise(torch.cat([maps[part][which[part]] for part in photos]), STEPS, HIGHEST),
        torch.cat([labels[part][which[part]] for part in photos]),
        torch.cat([torch.full((len(which[part]),), part == "val") for part in photos]),
        tuple(classes), tuple(names[part][index] for part in photos for index in which[part].tolist()),
    )


def quantisation_cost(
    sample: Sample, maps: dict[str, Tensor], labels: dict[str, Tensor], photos: dict[str, list[list[Path]]]
) -> dict[str, Any]:
    """Heads trained on the sample as it is and before it was rounded, both judged by all validation photos."""
    exact = torch.cat([maps[part][chosen(photos[part], part)] for part in photos])
    rounded, scale = quantise(maps["val"], STEPS, HIGHEST), sample.features.scale
    accuracies: dict[str, Any] = {"scale": scale}
    both = ("exact", exact, maps["val"]), ("rounded", sample.features.floats(), rounded.floats())
    for name, features, judge in both:
        for kind, head in train_heads(features, sample.labels, tuple(KINDS), validation=sample.validation).items():
            accuracies.setdefault(kind, {})[name] = numbers(head.module, judge, labels["val"])["accuracy"]
    return accuracies


def train_heads(
    features: Tensor, labels: Tensor, kinds: Sequence[str] = tuple(KINDS), *, validation: Tensor,
    budget: Budget = BUDGET, progress: Progress | None = None,
) -> dict[str, TrainedHead]:
    """Train one head of each kind on frozen feature maps, with the same photos and the same budget for all.

    Args:
        features: (N, C, H, W).
        labels: (N,) class indices from 0.
        kinds: keys of KINDS.
        validation: (N,) bool, the photos that only validate; each class has some of them and some others.
        budget: of each kind; early stopping looks at the validation loss.
        progress: called with epochs done and epochs in all.

    Returns: by kind, in the order of `kinds`.

    Raises ParameterError for shapes, labels or kinds that do not fit, or a class with too few photos.
    """
    chosen, count = kinds_of(kinds), len(features)
    if features.ndim != 4 or (*labels.shape, *validation.shape) != (count, count):
        raise ParameterError(f"The feature maps have shape {tuple(features.shape)}, the labels {tuple(labels.shape)} "
                             f"and validation {tuple(validation.shape)}; expected (N, C, H, W), (N,) and (N,).")
    labels, classes = labels.long(), int(labels.max()) + 1
    for index in range(classes):
        held_out = validation[labels == index]
        if held_out.all() or not held_out.any():
            raise ParameterError(f"Class {index} has {int((~held_out).sum())} photos to train on and "
                                 f"{int(held_out.sum())} to validate on; expected at least one of each.")
    train, others, heads = features[~validation].float(), features[validation].float(), {}
    for n, kind in enumerate(chosen):
        report = progress and (lambda done, n=n: progress(n * budget.epochs + done, len(chosen) * budget.epochs))
        heads[kind.kind] = fit(
            kind(train.shape[1:], classes), Photos(kind.prepare(train), labels[~validation]),
            Photos(kind.prepare(others), labels[validation]), budget, report,
        )
    return heads


def quantise(feature_maps: Tensor, steps: int = 255, highest: float | None = None) -> Quantised:
    """Feature maps (N, C, H, W), none negative, rounded to whole multiples of `highest / steps`.

    Args:
        steps: 1 to 255.
        highest: what the last step stands for; larger activations become it. None is the largest there is.

    Raises ParameterError for a number of steps out of range, and for activations that are negative or not finite.
    """
    checked_whole(steps, 1, 255, "number of steps")
    if feature_maps.numel() and not (torch.isfinite(feature_maps).all() and feature_maps.amin() >= 0):
        raise ParameterError("Some activations are negative or not finite; expected feature maps from 0 up.")
    largest = float(feature_maps.amax()) if feature_maps.numel() else 0.0
    scale = (largest if highest is None else highest) / steps
    if not scale > 0:
        scale = 1.0
    return Quantised((feature_maps / scale).round_().clamp_(0, steps).to(torch.uint8), scale)


def save_head(head: Head, path: Path) -> str:
    """Write a head as safetensors, rounded to fp16; the sha256 of the file, hex."""
    data = save({key: tensor.half().contiguous() for key, tensor in head.state_dict().items()})
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def save_sample(sample: Sample, path: Path) -> str:
    """Write a sample, compressed; the sha256 of the file, hex. The class names are the card's to keep."""
    stream = io.BytesIO()
    np.savez_compressed(
        stream, codes=sample.features.codes.numpy(), scale=np.float64(sample.features.scale),
        labels=sample.labels.numpy().astype(np.uint8), validation=sample.validation.numpy(),
        photos=np.array(sample.photos))
    path.write_bytes(stream.getvalue())
    return hashlib.sha256(stream.getvalue()).hexdigest()


if __name__ == "__main__":
    make(Path(sys.argv[1]))
