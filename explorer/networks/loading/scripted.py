"""A TorchScript archive read as text: its program is followed here, step by step, and never run by TorchScript.

`torch.jit.load` is not asked: it runs a class's `__setstate__` while it loads, and its programs may write files. The
archive keeps each class as Python-like text, which is parsed by `ast` here and followed by `following.record_script`.
"""

from __future__ import annotations

import ast
from typing import Any, NamedTuple

from torch import Tensor

from explorer.errors import NetworkError
from explorer.networks.loading.archive import Archive, shown
from explorer.networks.loading.pickled import Claim, Instance, unpickled
from explorer.networks.loading.tensors import Storages

_DEEPEST = 150  # modules in each other


class Script:
    """The classes, functions, constants and tensors of a TorchScript archive."""

    def __init__(self, archive: Archive, budget: int) -> None:
        self.name, self._archive = archive.name, archive
        self._definitions: dict[str, ast.ClassDef | ast.FunctionDef] = {}
        for path in archive.paths():
            if path.startswith("code/") and path.endswith(".py"):
                self._read_code(path)
        self._made: dict[int, Any] = {}
        self.root = self._tree("data.pkl", Storages(lambda key: archive.read(f"data/{key}"), budget, self.name), "")
        self.constants = self._tree(
            "constants.pkl", Storages(lambda key: archive.read(f"constants/{key}"), budget, self.name), "constant")
        if not isinstance(self.root, Instance):
            raise NetworkError(f"{self.name} is no TorchScript network: it holds no module.")

    def _read_code(self, path: str) -> None:
        module = path.removeprefix("code/").removesuffix(".py").replace("/", ".")
        try:
            tree = ast.parse(self._archive.text(path, 4 << 20))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise NetworkError(f"{self.name} is damaged: its program text {shown(path)} cannot be read.") from None
        for definition in tree.body:
            if isinstance(definition, ast.ClassDef | ast.FunctionDef):
                self._definitions[f"{module}.{definition.name}"] = definition

    def _tree(self, path: str, storages: Storages, label: str) -> Any:
        return self._with_tensors(unpickled(self._archive.read(path), self.name, scripted=True), storages, label, 0)

    def _with_tensors(self, value: Any, storages: Storages, label: str, depth: int) -> Any:
        """The same with tensors for claims, each container once, and every module in evaluation mode."""
        if depth > _DEEPEST:
            raise NetworkError(f"{self.name} has modules more than {_DEEPEST} deep in each other.")
        if isinstance(value, Claim):
            return Weight(storages.tensor(value, label), label)
        if id(value) in self._made:
            return self._made[id(value)][1]
        if isinstance(value, Instance):
            self._made[id(value)] = value, value
            inner = value.attributes
            for key in inner:
                inner[key] = self._with_tensors(inner[key], storages, f"{label}.{key}".lstrip("."), depth + 1)
            if "training" in inner:
                inner["training"] = False
        elif isinstance(value, list | tuple):
            made = type(value)(self._with_tensors(item, storages, label, depth + 1) for item in value)
            self._made[id(value)] = value, made
            return made
        elif isinstance(value, dict):
            made = {key: self._with_tensors(item, storages, label, depth + 1) for key, item in value.items()}
            self._made[id(value)] = value, made
            return made
        return value

    def definition(self, path: str) -> ast.ClassDef | ast.FunctionDef | None:
        """A class or function by its full name."""
        return self._definitions.get(path)

    def method(self, owner: Instance, name: str) -> ast.FunctionDef | None:
        """A method of an object of the file, None when it has none of that name."""
        found = self.definition(f"{owner.kind.module}.{owner.kind.name}")
        body = found.body if isinstance(found, ast.ClassDef) else []
        return next((item for item in body if isinstance(item, ast.FunctionDef) and item.name == name), None)


class Weight(NamedTuple):
    """A tensor of the file and where it hangs."""

    tensor: Tensor
    label: str
