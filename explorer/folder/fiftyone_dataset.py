"""A run as a dataset of FiftyOne, with each photo's evidence as a signed heatmap."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from explorer.errors import RunError
from explorer.folder.run import Run
from explorer.folder.summary import evidence_limit


def to_fiftyone(run: Run, name: str, where: str = "TRUE") -> Any:
    """Write the rows of a run into a new dataset of FiftyOne (https://docs.voxel51.com): a sample a photo.

    A sample has `ground_truth` and `prediction` (with its confidence and logit), `evidence` (a heatmap in logits over
    what the network saw, all on one scale from -m to m), and `border`, `middle`, `spread`, `brightness`, `sharpness`.
    A heatmap covers a whole photo: where the network saw a part of it, the map is 0 elsewhere.

    Args:
        name: of the dataset; none of that name may exist.
        where: an SQL condition on the rows.

    Returns: the `fiftyone.Dataset`.

    Raises RunError: fiftyone is not installed, or the condition is wrong.
    """
    try:
        fiftyone = import_module("fiftyone")  # optional, and not among the requirements
    except ImportError:
        raise RunError("The package fiftyone is not installed; expected `pip install fiftyone`.") from None
    names, limit = run.recipe["network"]["class_names"], evidence_limit(run)
    samples = []
    for row in run.query(f"SELECT * FROM rows WHERE answer IS NOT NULL AND ({where}) ORDER BY path").to_pylist():
        more: dict[str, Any] = {what: row[what] for what in ("border", "middle", "spread", "brightness", "sharpness")}
        more["prediction"] = fiftyone.Classification(
            label=names[row["answer"]], confidence=row["probability"], logits=np.array([row["logit"]]))
        if row["label"] is not None:
            known = row["label_class"]
            more["ground_truth"] = fiftyone.Classification(label=row["label"] if known is None else names[known])
        if row["evidence"] is not None:
            more["evidence"] = fiftyone.Heatmap(map=_over_photo(row), range=[-limit, limit])
        samples.append(fiftyone.Sample(filepath=str(run.photos / row["path"]), **more))
    dataset = fiftyone.Dataset(name)
    dataset.add_samples(samples)
    return dataset


def _over_photo(row: dict[str, Any], across: int = 64) -> np.ndarray:
    """(H, W) float32 over the whole photo: each number where its position lies, and 0 where the network saw nothing."""
    cells = np.array(row["evidence"], dtype=np.float32).reshape(row["grid"])
    left, top, right, bottom = row["seen"]
    down = max(1, round(across * row["height"] / row["width"]))
    y, x = ((np.arange(down) + 0.5) * row["height"] / down, (np.arange(across) + 0.5) * row["width"] / across)
    i = np.floor((y - top) / (bottom - top) * cells.shape[0]).astype(int)
    j = np.floor((x - left) / (right - left) * cells.shape[1]).astype(int)
    inside = np.outer((i >= 0) & (i < cells.shape[0]), (j >= 0) & (j < cells.shape[1]))
    spread = cells[np.ix_(i.clip(0, cells.shape[0] - 1), j.clip(0, cells.shape[1] - 1))]
    return np.where(inside, spread, 0).astype(np.float32)
