"""Fit one multiplier of the logits per pooling on labelled ImageNet photos.

    python assets/make/fit_calibration.py FOLDER

FOLDER holds photos named synset_class.JPEG, one a class (the sample of github.com/EliSchwartz/imagenet-sample-images,
or a part of it). Writes assets/calibration.json: the numbers, and how good they are on photos that they were not
fitted on (five folds).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from timm.data import ImageNetInfo
from torch import Tensor
from torch.nn.functional import cross_entropy

from explorer import analyse, load_network, read_image
from explorer.poolings import POOLINGS

CALIBRATION = Path(__file__).resolve().parents[1] / "calibration.json"
NETWORK = "efficientnet_lite0"
GRID = {
    "gem": (1, 1.5, 2, 3, 4, 6, 10, 30, 100),
    "lse": (0.05, 0.5, 1, 2, 3, 5, 10, 30, 100),
    "topk": (0.001, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1),
    "mixed": (0, 0.25, 0.5, 0.75, 1),
    "attention": (0.01, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 10),
}


def fit(folder: Path) -> None:
    network = load_network(NETWORK)
    photos = sorted(folder.glob("n*_*"))
    synsets = ImageNetInfo().label_names()
    labels = torch.tensor([synsets.index(photo.name.split("_")[0]) for photo in photos])
    points = [(key, value) for key in POOLINGS for value in GRID.get(key, (0,))]
    logits: dict[tuple[str, float], list[Tensor]] = {point: [] for point in points}
    for photo in photos:
        analysis = analyse(network, read_image(photo))
        for key, value in points:
            parameter = POOLINGS[key].parameter
            outcome = analysis.under(key, **({parameter.name: value} if parameter else {}))
            logits[key, value].append(outcome.logits)
    fitted: dict[str, list[dict[str, float]]] = {}
    for (key, value), rows in logits.items():
        fitted.setdefault(key, []).append(describe(value, torch.stack(rows), labels))
        print(key, fitted[key][-1])
    result = {NETWORK: {
        "photos": len(photos),
        "framing": "crop, 224 px",
        "method": "minimises the mean negative log-likelihood of softmax(multiplier * logits)",
        "command": "python assets/make/fit_calibration.py FOLDER",
        "note": "Most of the photos are probably training photos, so these numbers are on the sure side. The native "
                "pooling's own number is listed for the record and never applied.",
        "poolings": fitted,
    }}
    CALIBRATION.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def describe(parameter: float, logits: Tensor, labels: Tensor, folds: int = 5) -> dict[str, float]:
    """The multiplier fitted on all photos; the losses before, and after on held-out folds; top-1 and confidence."""
    held_out = []
    for fold in range(folds):
        test = torch.arange(len(labels)) % folds == fold
        multiplier = fit_multiplier(logits[~test], labels[~test])
        held_out.append(cross_entropy(multiplier * logits[test], labels[test], reduction="none"))
    return {
        "parameter": parameter,
        "multiplier": round(fit_multiplier(logits, labels), 4),
        "loss_before": round(float(cross_entropy(logits, labels)), 3),
        "loss_held_out": round(float(torch.cat(held_out).mean()), 3),
        "top1": round(float((logits.argmax(1) == labels).float().mean()), 4),
        "mean_top_probability_before": round(float(logits.softmax(1).amax(1).mean()), 3),
    }


def fit_multiplier(logits: Tensor, labels: Tensor) -> float:
    """The multiplier s > 0 that minimises the mean negative log-likelihood of softmax(s * logits).

    This is temperature scaling (Guo et al., On Calibration of Modern Neural Networks, 2017, arXiv:1706.04599), with
    s = 1 / temperature.

    Args:
        logits: (N, classes).
        labels: (N,) class indices.
    """
    logits, labels = logits.double(), labels.long()
    log_multiplier = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_multiplier], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = cross_entropy(log_multiplier.exp() * logits, labels)
        value.backward()
        return value

    optimiser.step(loss)
    return float(log_multiplier.detach().exp())


if __name__ == "__main__":
    fit(Path(sys.argv[1]))
