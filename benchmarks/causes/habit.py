"""The bundled network's own habit: Chinese characters over a photo make it a carton. Is it among the causes?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from PIL import ImageFont
from sklearn.metrics import roc_auc_score

from benchmarks.causes.maps import kept
from benchmarks.causes.plants import SEEN, characters
from explorer.folder.causes import causes_of
from explorer.folder.contributions import Contributions
from explorer.folder.muting import STRENGTHS, Answers, Muting, last_linear
from explorer.folder.parts import decompose
from explorer.folder.photos import class_indices
from explorer.networks import Network

TEXT, EM = "捷径捷径捷径", 36 / 224  # "shortcut", three times; of what the network sees, as in ImageNet-W
CLASS = "carton"
TOPS = (100, 200, 300)  # photos whose logit of the class is largest


class Listed(NamedTuple):
    """The class's causes among some photos.

    Attributes:
        photos, written: how many, and how many of them have characters.
        parts: how many; best: the AUC of the part that tells characters best; first: of the part with most logits.
        place: of the best part by mean strength, from 1; total: the AUC of all positive contributions together.
    """

    photos: int
    written: int
    parts: int
    best: float
    first: float
    place: int
    total: float


class Habit(NamedTuple):
    """What a run of photos shows, of which half have characters.

    Attributes:
        photos: in the run.
        called: photos of the run called the class, `written` of them with characters, `right` of the class.
        place: of the class among all by wrong photos called so, from 1.
        listed: its causes among the photos whose logit of it is largest, as many as TOPS says.
        areas: of each cause of the photos called the class, in the list's order, its AUC for characters on all photos.
        shares: of positive contributions that these causes hold.
        strength: suggested for muting the first; `correct` photos and wrong `calls` without muting, at that strength,
            and at full strength.
    """

    photos: int
    called: int
    written: int
    right: int
    place: int
    listed: tuple[Listed, ...]
    areas: tuple[float, ...]
    shares: tuple[float, ...]
    strength: float
    correct: tuple[int, int, int]
    calls: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Written:
    """Photos (n of them), clean and with characters.

    Attributes:
        clean, written: (n, C) float32, pooled; labels: (n,).
        weight, bias: of the network's head; target: the class.
    """

    clean: np.ndarray
    written: np.ndarray
    labels: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    target: int

    @property
    def rises(self) -> np.ndarray:
        """(classes,) mean logits that characters add."""
        return ((self.written - self.clean) @ self.weight.T).mean(0)


def written_photos(network: Network, folder: Path, font: Path, cache: Path) -> Written:
    """The photos of a folder (named synset_class.JPEG), clean and with characters, from the cache where they are there.
    """
    paths = sorted(folder.glob("*.JPEG"))
    synsets = [path.name.split("_")[0] for path in paths]
    meant = class_indices(synsets, network.class_names)
    plant = characters(ImageFont.truetype(font, round(SEEN * EM), _simplified(font)), TEXT)
    clean, written = (kept(network, paths, with_it, cache / f"imagenet {name}.npy").astype(np.float32).mean((2, 3))
                      for with_it, name in ((None, "clean"), (plant, "characters")))
    linear = last_linear(network)[1]
    return Written(clean, written, np.array([meant[synset] for synset in synsets]), linear.weight.detach().numpy(),
                   linear.bias.detach().numpy(), network.class_names.index(CLASS))


def habit(photos: Written, seed: int) -> Habit:
    """Half of the photos, drawn, have characters: what is found of them in the class that they raise."""
    count, target = len(photos.labels), photos.target
    marked = np.zeros(count, bool)
    marked[np.random.default_rng(seed).permutation(count)[: count // 2]] = True
    pooled = np.where(marked[:, None], photos.written, photos.clean)
    logits = pooled @ photos.weight.T + photos.bias
    predictions, values = logits.argmax(1), pooled * photos.weight[target]
    called, wrong = predictions == target, predictions != photos.labels
    calls = np.bincount(predictions[wrong], minlength=len(photos.weight))
    order = np.argsort(-logits[:, target])
    table = pa.table({"label_class": photos.labels[called], "path": np.flatnonzero(called).astype(str),
                      **{name: np.zeros(called.sum()) for name in ("brightness", "sharpness", "border")}})
    causes = causes_of(Contributions(target, None, np.flatnonzero(called), values[called], table,
                                     int(called.sum()))).all
    chooses = np.random.default_rng(1000 + seed).random(count) < 0.5
    answers = Answers(np.arange(count), pooled, logits, photos.weight, predictions, photos.labels, chooses, count)
    muting = Muting(answers, causes[0].shares, target, gives_back=False)
    strength = float(STRENGTHS[muting.suggested])
    after = [muting.predictions(one) for one in (0.0, strength, 1.0)]
    return Habit(
        count, int(called.sum()), int((called & marked).sum()), int((called & ~wrong).sum()),
        int((calls > calls[target]).sum()) + 1,
        tuple(_listed(values[order[:top]], marked[order[:top]]) for top in TOPS),
        tuple(float(roc_auc_score(marked, values @ cause.shares)) for cause in causes),
        tuple(cause.share for cause in causes), strength,
        _three((one == photos.labels).sum() for one in after),
        _three(((one == target) & (photos.labels != target)).sum() for one in after))


def _three(numbers: Iterable[Any]) -> tuple[int, int, int]:
    first, second, third = map(int, numbers)
    return first, second, third


def _listed(values: np.ndarray, marked: np.ndarray) -> Listed:
    strengths = decompose(values).strengths(values)
    areas, means = np.array([roc_auc_score(marked, part) for part in strengths.T]), strengths.mean(0)
    best = int(areas.argmax())
    return Listed(len(values), int(marked.sum()), len(areas), float(areas[best]), float(areas[means.argmax()]),
                  int((means > means[best]).sum()) + 1, float(roc_auc_score(marked, np.maximum(values, 0).sum(1))))


def _simplified(font: Path) -> int:
    """The place in a collection of fonts of the one for simplified Chinese; 0 in a file of one font."""
    if font.suffix != ".ttc":
        return 0
    return next(place for place in range(10) if str(ImageFont.truetype(font, 10, place).getname()[0]).endswith(" SC"))
