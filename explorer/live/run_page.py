"""Photos of a run as one live page, analysed anew."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from explorer.errors import ImageError, MethodError, RunError
from explorer.folder.cause_maps import analysis_of
from explorer.folder.index import Index
from explorer.live.page import MOST_PHOTOS, Beginning, Part, page_of, part
from explorer.progress import Progress, Stop, in_batches


class RunPage(NamedTuple):
    """A live page of some of a run's photos.

    Attributes:
        text: the HTML.
        photos: how many are on it; left_out: how many of those selected are not.
    """

    text: str
    photos: int
    left_out: int


def run_page(
    index: Index, numbers: np.ndarray, photos: bool = True, progress: Progress | None = None, stop: Stop | None = None
) -> RunPage:
    """The first 24 of these photos, each under its path; those that cannot be read or decomposed are left out.

    Args:
        photos: whether the photos are in it; else their maps lie on grey.

    Raises:
        RunError, ImageError, MethodError: no photo is left.
        StoppedError: `stop` returned True.
    """
    parts: list[Part] = []
    failure: ImageError | MethodError | RunError = RunError("No photo is selected; expected one or more.")
    paths = index.table(numbers[:MOST_PHOTOS], ["path"])["path"].to_pylist()
    for (path,) in in_batches(paths, 1, "photos", progress, stop):
        try:
            parts.append(part(analysis_of(index.run, path), path, Beginning(), photos))
        except (ImageError, MethodError) as error:
            failure = error
    if not parts:
        raise failure
    return RunPage(page_of(index.run.network, parts, Beginning()), len(parts), len(numbers) - len(parts))
