"""A run: the rows of many photos by one network, and the choices that they were made with."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

import explorer
from explorer.errors import NetworkError, RunError
from explorer.folder.store import Store
from explorer.images import quoted
from explorer.networks import Network
from explorer.networks.loading.options import Options, load_from_options, options_as_written
from explorer.poolings import PoolingChoice

FORMAT = 1
RECORD = "run.json"
_FIELDS = {"version", "network", "framing", "poolings", "photos", "labels"}
_MAY_DIFFER = {"labels"}  # which are corrected; all paths begin at one folder, or a row would name another photo


class Run:
    """The rows of a folder's photos, and the network and choices that made them.

    Attributes:
        path: the run's own folder.
        recipe: what repeats it, as `recipe_of` makes it.
    """

    def __init__(self, path: Path, recipe: dict[str, Any], network: Network | None = None) -> None:
        self.path = path
        self.recipe = recipe
        self.store = Store(path)
        self._given = network

    @classmethod
    def open(cls, path: str | os.PathLike, network: Network | None = None) -> Run:
        """A run that `scan` has written, whether or not it came to its end.

        Args:
            path: the folder.
            network: the run's; needed where it cannot be loaded again by what the run's command named.

        Raises RunError: there is no run, it is of another format, or the network is another one.
        """
        folder = Path(path).expanduser()
        try:
            recipe = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise RunError(f"There is no run at {quoted(path)}; expected a folder that "
                           "`python -m explorer folder` has written.") from None
        if not isinstance(recipe, dict) or recipe.get("format") != FORMAT or not recipe.keys() >= _FIELDS:
            raise RunError(f"The run at {quoted(path)} is of another format; expected {FORMAT}: scan the photos "
                           "again with this version.")
        run = cls(folder.resolve(), recipe, network)
        if network is not None:
            run._check(network)
        return run

    @classmethod
    def begin(cls, path: str | os.PathLike, recipe: dict[str, Any], network: Network) -> Run:
        """A new run in that folder, or the one that is there, to go on with.

        Raises RunError: a run with other choices is there, or the folder cannot be written to.
        """
        folder = Path(path).expanduser()
        if (folder / RECORD).exists():
            there = cls.open(folder, network)
            for what in recipe.keys() - _MAY_DIFFER:
                if there.recipe.get(what) != recipe[what]:
                    difference = _shown(there.recipe.get(what), recipe[what])
                    raise RunError(f"The run at {quoted(path)} was made with another {what} ({difference}); "
                                   "expected the same choices as before, or another folder for this run.")
            recipe = there.recipe | {what: recipe[what] for what in _MAY_DIFFER}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / f"{RECORD}.part"
            part.write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")
            part.replace(folder / RECORD)
        except OSError as error:
            raise RunError(f"The run cannot be written to {quoted(path)}: {error.strerror or error}.") from None
        return cls(folder.resolve(), recipe, network)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """The answer of DuckDB to a query over the view `rows`, whose columns `explorer.folder.rows` documents, and the
        table `classes` (class_index, name). Raises RunError where the query is wrong.
        """
        return self.store.query(sql, parameters, classes=self.classes)

    @cached_property
    def classes(self) -> pa.Table:
        """The network's classes: class_index and name."""
        names = self.recipe["network"]["class_names"]
        return pa.table({"class_index": pa.array(range(len(names)), pa.int32()), "name": pa.array(names, pa.string())})

    @cached_property
    def network(self) -> Network:
        """The network of the run, loaded again where it was not given.

        Raises NetworkError: it cannot be loaded by its name or file, or what is there now is another network.
        """
        if self._given is not None:
            return self._given
        options = self.recipe["network"]["options"]
        if options is None:
            raise NetworkError("The run is of a network that was made in Python; expected it beside the run: "
                               "Run.open(path, network).")
        network = load_from_options(options_from(options))
        self._check(network)
        return network

    @cached_property
    def photos(self) -> Path:
        """The folder that the rows' paths begin at."""
        return Path(self.recipe["photos"])

    @cached_property
    def poolings(self) -> tuple[PoolingChoice, ...]:
        """Whose answers the rows note as well."""
        return tuple(map(PoolingChoice.parse, self.recipe["poolings"]))

    def _check(self, network: Network) -> None:
        there = self.recipe["network"]
        if (network.digest, list(network.class_names)) != (there["sha256"], there["class_names"]):
            raise RunError(f"The run is of {there['title']} with sha256 {there['sha256'][:12]}..., and this is "
                           f"{network.title} with {network.digest[:12]}...; expected the run's own network.")


def recipe_of(
    network: Network, options: Options | None, poolings: Sequence[PoolingChoice], framing: str,
    short_side: int | None, photos: Path, labels: str,
) -> dict[str, Any]:
    """What repeats a run: plain dicts, lists, strings and numbers."""
    return {
        "format": FORMAT,
        "version": explorer.__version__,
        "network": {
            "options": None if options is None else options_as_written(options),
            "name": network.name, "title": network.title,
            "sha256": network.digest, "activation": network.activation,
            "preprocessing": json.loads(json.dumps(asdict(network.preprocessing))),
            "class_names": list(network.class_names),
        },
        "framing": {"kind": framing, "short_side": short_side},
        "poolings": [str(choice) for choice in poolings],
        "photos": str(photos),
        "labels": labels,
    }


def options_from(written: dict[str, Any]) -> Options:
    """The options of a network as a run's record has them."""
    paths = {name: Path(written[name]) for name in ("checkpoint", "classes") if written.get(name)}
    numbers = {name: tuple(written[name]) for name in ("mean", "std") if written.get(name)}
    known = {field.name for field in fields(Options)}
    return Options(**{name: value for name, value in written.items() if name in known} | paths | numbers)


def _shown(there: Any, here: Any) -> str:
    """What differs, briefly: of a dict the first thing that does."""
    if isinstance(there, dict) and isinstance(here, dict):
        name = next((name for name in here if there.get(name) != here[name]), "")
        return f"{name} {_shown(there.get(name), here.get(name))}"
    return f"{there!s:.60}, not {here!s:.60}"
