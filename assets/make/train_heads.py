"""Train the shipped heads on photos of five kinds of flowers, each with its own pooling.

    python assets/make/train_heads.py FOLDER

FOLDER holds photos in train/CLASS/ and val/CLASS/. The photos in val are never trained on and never tell when to stop:
a tenth of those in train does that. Writes assets/heads: a safetensors file a head, the feature maps of a sample of the
photos (numbers, no photos), and flowers.json with what was measured.
"""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from explorer import analyse, load_network, read_image
from explorer.heads import BUDGET, KINDS, Head, Sample, TrainedHead, quantise, save_head, save_sample, train_heads
from explorer.heads.head_files import HEADS
from explorer.heads.training import drawn, loss_and_accuracy

NETWORK = "efficientnet_lite0"
FRAMING = "crop"
STOPPING, SEED = 0.1, 0
SAMPLED = {"train": 80, "val": 40}  # photos a class
STEPS, HIGHEST = 31, 6.0  # of the sample's activations; ReLU6 ends at 6
ASKED = {"gap": 0.9, "gmp": 0.87, "gem": 0.9, "attention": 0.88}  # accuracy on the validation photos


def make(folder: Path) -> None:
    network = load_network(NETWORK)
    classes = sorted(path.name for path in (folder / "train").iterdir() if path.is_dir())
    photos = {part: [sorted((folder / part / name).glob("*.jpg")) for name in classes] for part in ("train", "val")}
    maps = {part: extract(network, [path for paths in of_class for path in paths]) for part, of_class in photos.items()}
    labels = {part: torch.tensor([index for index, paths in enumerate(of_class) for _ in paths])
              for part, of_class in photos.items()}
    HEADS.mkdir(exist_ok=True)
    trained = train_heads(maps["train"], labels["train"], validation=STOPPING, seed=SEED, progress=tell)
    sample = sampled(photos, maps, labels, classes)
    sample_sha256 = save_sample(sample, HEADS / "flowers_sample.npz")
    card: dict[str, Any] = {
        "command": "python assets/make/train_heads.py FOLDER",
        "classes": classes,
        "backbone": {"network": NETWORK, "sha256": network.digest},
        "framing": f"{FRAMING}, {network.preprocessing.size} px",
        "feature_maps": list(maps["train"].shape[1:]),
        "photos": {
            "train": int((~drawn(labels["train"], STOPPING, SEED)).sum()),
            "stopping": int(drawn(labels["train"], STOPPING, SEED).sum()),
            "validation": len(labels["val"]),
        },
        "seed": SEED, "budget": asdict(BUDGET), "torch": torch.__version__.split("+")[0],
        "note": "train: learned from; stopping: photos of the train folder that told when to stop; validation: photos "
                "of the val folder, used for nothing but these numbers; sample: the sample's part of them, quantised. "
                "All are of the heads as they are stored, in fp16.",
        "asked": ASKED, "short": {}, "heads": {}, "sample": {},
    }
    for kind, head in trained.items():
        card["heads"][kind] = write(kind, head) | measured(head.module, maps, labels, sample)
        print(kind, json.dumps(card["heads"][kind]), flush=True)
        if reason := short_of(kind, card["heads"][kind]["validation"]["accuracy"], len(labels["val"])):
            card["short"][kind] = reason
    card["sample"] = {
        "file": "flowers_sample.npz", "sha256": sample_sha256, "photos_a_class": SAMPLED,
        "steps": STEPS, "highest": HIGHEST, "quantisation": lost(sample, maps, labels, photos),
    }
    (HEADS / "flowers.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def extract(network: Any, paths: list[Path]) -> Tensor:
    """(N, C, H, W)"""
    return torch.stack([analyse(network, read_image(path), FRAMING).feature_maps for path in paths])


def tell(done: int, total: int) -> None:
    if done % 50 == 0:
        print(f"{time.strftime('%X')} {done} of {total} epochs", flush=True)


def write(kind: str, head: TrainedHead) -> dict[str, Any]:
    """The head's file, and how its training went; the module becomes what is stored."""
    file = f"flowers_{kind}.safetensors"
    sha256 = save_head(head.module, HEADS / file)
    head.module.half().float()
    return {"file": file, "sha256": sha256, "parameters": head.parameters, "epochs": head.epochs,
            "kept_epoch": head.kept.epoch, "seconds": round(head.seconds, 1)}


def short_of(kind: str, accuracy: float, photos: int) -> str:
    """What is missing of what was asked for, in words; "" where nothing is."""
    if accuracy >= ASKED.get(kind, 0):
        return ""
    error = 100 * math.sqrt(accuracy * (1 - accuracy) / photos)
    return (f"{round(accuracy * photos)} of {photos} photos right, {math.ceil(ASKED[kind] * photos)} were asked for; "
            f"the standard error of such a number is {error:.1f} percentage points")


def measured(head: Head, maps: dict[str, Tensor], labels: dict[str, Tensor], sample: Sample) -> dict[str, Any]:
    stopping = drawn(labels["train"], STOPPING, SEED)
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


def chosen(photos: list[list[Path]], part: str) -> Tensor:
    """Indices of the sample's photos, evenly through each class's sorted names."""
    first, found = 0, []
    for paths in photos:
        found += [first + n * len(paths) // SAMPLED[part] for n in range(SAMPLED[part])]
        first += len(paths)
    return torch.tensor(found)


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


def lost(
    sample: Sample, maps: dict[str, Tensor], labels: dict[str, Tensor], photos: dict[str, list[list[Path]]]
) -> dict[str, Any]:
    """Heads trained on the sample as it is and before it was rounded, both judged by all validation photos."""
    exact = torch.cat([maps[part][chosen(photos[part], part)] for part in photos])
    rounded, scale = quantise(maps["val"], STEPS, HIGHEST), sample.features.scale
    found: dict[str, Any] = {"scale": scale}
    for name, features, judge in (("exact", exact, maps["val"]), ("rounded", sample.features, rounded.floats())):
        for kind, head in train_heads(features, sample.labels, tuple(KINDS), validation=sample.validation).items():
            found.setdefault(kind, {})[name] = numbers(head.module, judge, labels["val"])["accuracy"]
    return found


if __name__ == "__main__":
    make(Path(sys.argv[1]))
