"""Write assets/architectures.tsv: the signatures of all architectures of the torchvision and timm that are installed.

    PYTHONPATH=. python assets/make/list_architectures.py

It takes about half an hour. The order is that in which names are proposed where several have the same tensors:
torchvision's first, then timm's, those of other frameworks ("tf_") and of other trainings after the plain names.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import torch
from torch import nn

from explorer.networks.loading.architecture import classifier, shapes_of
from explorer.networks.loading.blueprints import Unfilled, new_module
from explorer.networks.loading.bundled import ASSETS
from explorer.networks.loading.catalogue import by_names, by_shapes, signature
from explorer.networks.loading.known_networks import Known, identify, timm_architectures, torchvision_names

_SILENT = (nn.Dropout, nn.Identity, nn.Flatten)


def made(known: Known) -> nn.Module:
    """The module, without numbers where it can be made so."""
    try:
        with torch.device("meta"):
            return new_module(known)
    except Exception:
        with Unfilled():
            return new_module(known)


def conduct(module: nn.Module) -> Iterator[str]:
    """What its parts do beside their tensors: each part with weights once, each kind of activation once."""
    kinds = set()
    for part in module.modules():
        if next(part.children(), None) is not None or isinstance(part, _SILENT):
            continue
        if next(part.parameters(), None) is not None and not isinstance(part, nn.Linear):
            yield f"{type(part).__name__} {part.extra_repr()}"
        elif type(part).__module__.startswith(("torch.nn.modules.activation", "timm.layers.activations")):
            kinds.add(type(part).__name__)
    yield from sorted(kinds)


def line(name: str) -> str | None:
    """The line of one architecture; None where it cannot be made here."""
    known = identify(name)
    try:
        module = made(known)
    except Exception as error:
        print(name, type(error).__name__, file=sys.stderr)
        return None
    state = module.state_dict()
    last = (classifier(state) or "").removesuffix(".weight")
    shapes = shapes_of(state)
    return "\t".join((name, last, by_names(shapes, last), by_shapes(shapes.values()), signature(conduct(module))))


def order(name: str) -> tuple[bool, bool, int, str]:
    source, _, architecture = name.partition("/")
    return source == "timm", bool(re.match("tf_|gluon_|ssl_|swsl_|test_", architecture)), len(architecture), name


def main() -> None:
    names = [*(f"torchvision/{name}" for name in torchvision_names()),
             *(f"timm/{name}" for name in timm_architectures())]
    lines = (line(name) for name in sorted(names, key=order))
    text = "".join(f"{row}\n" for row in lines if row)
    (ASSETS / "architectures.tsv").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
