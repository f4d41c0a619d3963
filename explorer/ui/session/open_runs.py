"""The runs that pages open: those that the app was started with, one over the examples, and dropped-in folders.

A server opens nothing else: a link names a run, and never a path.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import streamlit as st

from explorer.errors import ParameterError, RunError
from explorer.folder import Run, scan
from explorer.folder.index import Index, newest_shards
from explorer.folder.sample import draw_sample
from explorer.networks import Network
from explorer.networks.loading.options import Options
from explorer.progress import Progress, Stop
from explorer.ui.session.arguments import given, given_folders
from explorer.ui.session.jobs import Job

EXAMPLES, DROPPED = "examples", "dropped-in"  # what links call such runs
MOST_DROPPED, MOST_DROPPED_BYTES = 1000, 500 * 2**20
_PATIENCE = 1e9  # seconds: a scan goes on when nobody looks
_KEPT = 4  # indices of runs in memory, of all sessions together


class OpenRun:
    """A run, and the scan that makes it where one is going on.

    Attributes:
        name: what links call it; title: what people do.
        path: its folder.
        job: the scan; None for a run that is finished.
        network: what it was made with, where it cannot be loaded by its record; network_name: what the session that
            made it calls that.
    """

    def __init__(
        self, name: str, title: str, path: Path, job: Job | None = None, network: Network | None = None,
        network_name: str = "", keep: Any = None,
    ) -> None:
        self.name, self.title, self.path, self.job = name, title, path, job
        self.network, self.network_name = network, network_name
        self._keep = keep  # a temporary folder is deleted with it

    def run(self) -> Run | None:
        """The run as it is now; None before there is one. Raises RunError: it cannot be opened."""
        if self.job is not None and not (self.path / "run.json").exists():
            return None
        return Run.open(self.path, self.network)

    @property
    def description(self) -> str:
        """Its title, and what its rows were made with."""
        try:
            run = self.run()
        except RunError:
            run = None
        if run is None:
            return self.title
        framing = run.recipe["framing"]
        size = f" {framing['short_side']} px" if framing["short_side"] else ""
        return f"{self.title}, {run.recipe['network']['title']}, {framing['kind']}{size}"

    def index(self, other: Run | None = None) -> Index | None:
        """Of the rows that there are now; None before there are any. Raises RunError: it cannot be opened."""
        run = self.run()
        if run is None or not (shards := newest_shards(run)):
            return None
        return _index(str(self.path), shards, "" if other is None else str(other.path),
                      () if other is None else newest_shards(other), run, other)


@st.cache_resource(show_spinner=False, max_entries=_KEPT)
def _index(path: str, shards: tuple, other_path: str, other_shards: tuple, _run: Run, _other: Run | None) -> Index:
    return Index(_run, _other)


@st.cache_resource(show_spinner=False)
def _of_server() -> tuple[dict[str, OpenRun], list[str]]:
    """The runs that the app was started with by name, and what was wrong with others. Shared by all sessions."""
    folders, runs, wrong = given_folders(), dict[str, OpenRun](), []
    paths = list(folders.runs)
    if folders.photos:  # it is scanned into the run that was named, if one was
        path = paths.pop(0) if len(paths) == 1 else _cache_folder(folders.photos)
        name = _free(Path(folders.photos).expanduser().resolve().name, runs)
        runs[name] = OpenRun(name, name, path, _scan_given(folders.photos, folders.labels, path))
    for path in paths:
        try:
            run = Run.open(path)
        except RunError as error:
            wrong.append(str(error))
            continue
        name = _free(run.path.name, runs)
        runs[name] = OpenRun(name, name, run.path)
    return runs, wrong


def _scan_given(photos: str, labels: str, path: Path) -> Job:
    def work(progress: Progress, stop: Stop) -> Run:
        options = given()[0]
        return scan(options if options.given else Options(network="efficientnet_lite0"), photos, path, labels or None,
                    progress=progress, stop=stop)

    job = Job(work, patience=_PATIENCE)
    job.ask()
    return job


def _cache_folder(photos: str) -> Path:
    """Where the run of a folder is kept that was not given one: the same for the same folder and network."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    what = f"{Path(photos).expanduser().resolve()}\n{given()[0]}"
    return base / "poolscope" / "runs" / hashlib.sha256(what.encode()).hexdigest()[:16]


def _free(name: str, taken: Iterable[str]) -> str:
    """A name for links that no other run has: letters, digits and a little punctuation."""
    plain = re.sub(r"[^\w .()-]", "-", name)[:70] or "run"
    names = [plain, *(f"{plain} ({n})" for n in range(2, 1000))]
    return next(one for one in names if one not in set(taken))


@st.cache_resource(show_spinner=False)
def _of_examples() -> OpenRun:
    folder = tempfile.TemporaryDirectory(prefix="poolscope-")
    photos, path = Path(folder.name) / "photos", Path(folder.name) / "run"

    def work(progress: Progress, stop: Stop) -> Run:
        draw_sample(photos)
        return scan("efficientnet_lite0", photos, path, progress=progress, stop=stop)

    return OpenRun(EXAMPLES, "The examples, changed", path, Job(work, patience=_PATIENCE), keep=folder)


def runs_of(own: dict[str, OpenRun]) -> dict[str, OpenRun]:
    """All that a session can open, by name: its own runs, the server's, and the one over the examples."""
    return own | _of_server()[0] | {EXAMPLES: _of_examples()}


def what_was_wrong() -> list[str]:
    """Sentences about runs that the app was started with and that cannot be opened."""
    return _of_server()[1]


def drop_in_folder(
    own: dict[str, OpenRun], files: Iterable[tuple[str, bytes]], network: Network, network_name: str
) -> OpenRun:
    """Begin a scan of photos that a person dropped in; they are kept as long as the session.

    Args:
        own: the session's runs by name: the new one takes the place of the last.
        files: the path of each as the browser gave it, and its bytes.

    Raises ParameterError: they are too many or too large.
    """
    files = list(files)
    size = sum(len(data) for _, data in files)
    if len(files) > MOST_DROPPED or size > MOST_DROPPED_BYTES:
        raise ParameterError(
            f"The folder has {len(files):,} photos of {size / 2**20:,.0f} MB; expected at most {MOST_DROPPED:,} of "
            f"{MOST_DROPPED_BYTES / 2**20:,.0f} MB: start the app with --folder instead.")
    folder = tempfile.TemporaryDirectory(prefix="poolscope-")
    photos, path = Path(folder.name) / "photos", Path(folder.name) / "run"
    for name, data in files:
        inside = [part for part in PurePosixPath(name).parts if part not in ("/", "..")]
        place = photos.joinpath(*inside)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    title = PurePosixPath(files[0][0]).parts[0] if files and "/" in files[0][0] else "Dropped-in photos"

    def work(progress: Progress, stop: Stop) -> Run:
        return scan(replace(network), photos, path, progress=progress, stop=stop)

    own.clear()
    name = _free(DROPPED, runs_of({}))
    job = Job(work, patience=_PATIENCE)
    own[name] = OpenRun(name, title, path, job, network, network_name, keep=folder)
    job.ask()
    return own[name]
