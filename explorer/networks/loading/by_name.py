"""Networks of torchvision and timm with their trained weights, fetched on first use and never unpickled."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from pickle import UnpicklingError

import timm
import torch
from huggingface_hub import constants
from safetensors import SafetensorError
from torch import Tensor, nn
from torchvision.models import get_model_weights

from explorer.errors import NetworkError
from explorer.networks.loading.blueprints import Blueprint, Unfilled, describe, droppable_keys, new_module
from explorer.networks.loading.bundled import BUNDLED
from explorer.networks.loading.fetching import (
    NotFetchedError,
    address_file,
    fetch_address,
    fetch_from_hub,
    hub_file,
)
from explorer.networks.loading.known_networks import (
    Known,
    identify,
    timm_config,
    timm_names,
    torchvision_names,
    torchvision_weights,
)
from explorer.progress import Progress
from explorer.wording import listed

_NAMED = 5  # networks that a sentence lists
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.\w+)$")


def pretrained(name: str, progress: Progress | None = None) -> Blueprint:
    """A network with its trained weights, from the cache or else fetched.

    Args:
        name: as `identify` takes it.
        progress: called with the bytes fetched so far and in all (0 when the server does not say); what it raises
            stops the download.

    Returns:
        A Blueprint in evaluation mode with its digest and origin; each call reads the file anew.

    Raises:
        NetworkError: there is no such network or nobody trained it; its weights are not here and cannot be fetched
            (the message names what is here); what was sent is damaged or does not fit.
    """
    known = identify(name)
    if not known.tag:
        raise NetworkError(f"The network {known.name} has no trained weights; expected one that has, or your own "
                           "checkpoint.")
    file = _fetch(known, progress)
    try:
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise NetworkError(f"The file {file} of {known.name} cannot be read: {error.strerror or error}.") from None
    return replace(describe(known, _trained_module(known, file)), digest=digest, origin=_origin(known))


def cached_names() -> list[str]:
    """The names of the networks whose weights are on this computer, torchvision's first; they are not checked here."""
    names = [
        Known("torchvision", architecture, weights.name).name
        for architecture in torchvision_names() for weights in get_model_weights(architecture)
        if weights.meta.get("categories") and address_file(weights.url).is_file()
    ]
    folder = Path(constants.HF_HUB_CACHE)
    folders = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    for name, (repository, files, address) in _timm_places().items():
        if repository:
            is_cached = (f"models--{repository.replace('/', '--')}" in folders
                         and hub_file(repository, files) is not None)
        else:
            is_cached = address_file(address).is_file()
        if is_cached:
            names.append(f"timm/{name}")
    return names


def _cached() -> str:
    names = cached_names()
    some = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    here = f"already here are {some}, and" if names else "no other network is here yet, but"
    return f"{here} the bundled {listed(list(BUNDLED))} always work."


@cache
def _timm_places() -> Mapping[str, tuple[str, tuple[str, ...], str]]:
    """Each of timm's networks by name."""
    return {name: _place(Known("timm", *name.partition(".")[::2])) for name in timm_names()}


def _place(known: Known) -> tuple[str, tuple[str, ...], str]:
    """Where its weights are published: (repository on the hub or "", its files to try, address)."""
    if known.source == "torchvision":
        return "", (), torchvision_weights(known).url
    config = timm_config(known)
    file = config.hf_hub_filename or "pytorch_model.bin"
    safe = "model.safetensors" if file == "pytorch_model.bin" else re.sub(r"\.(bin|pth|pt)$", ".safetensors", file)
    return config.hf_hub_id or "", tuple(dict.fromkeys((safe, file))), str(config.url or "")


def _fetch(known: Known, progress: Progress | None) -> Path:
    """The file of its weights, from the cache or else from its publisher."""
    repository, files, address = _place(known)
    try:
        return fetch_from_hub(repository, files, progress) if repository else fetch_address(address, progress)
    except NotFetchedError as error:
        problem = ("are not where they are said to be" if error.missing else
                   "are not on this computer and could not be fetched")
        publisher = f"huggingface.co/{repository}" if repository else address
        raise NetworkError(f"The weights of {known.name} {problem} ({publisher}: {error}); {_cached()}") from None


def _trained_module(known: Known, file: Path) -> nn.Module:
    try:
        with Unfilled():
            if known.source == "timm":
                # timm reads it with weights_only=True, and knows what each architecture renames and leaves out.
                return timm.create_model(known.tagged, pretrained=True, pretrained_cfg_overlay={"file": str(file)})
            module = new_module(known)
        module.load_state_dict(_torchvision_state(known, file))
        return module
    except UnpicklingError:
        problem = "holds more than weights, which is never run"
    except SafetensorError as error:
        problem = f"is not safetensors ({error})"
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError, EOFError) as error:
        blocked = "weights_only" in str(error)
        problem = "holds more than weights, which is never run" if blocked else "does not fit the network"
    except OSError as error:
        problem = f"cannot be read ({error.strerror or error})"
    raise NetworkError(f"The file {file.name} of {known.name} {problem}; expected its weights alone: delete "
                       f"{file.resolve()} to have it fetched again.")


def _torchvision_state(known: Known, file: Path) -> dict[str, Tensor]:
    """A state dict with torchvision's own corrections: no auxiliary classifiers, DenseNet's newer names."""
    state = torch.load(file, map_location="cpu", weights_only=True)
    droppable = droppable_keys(known)
    for key in list(state):  # in place: a state dict also holds its version, which MNASNet asks for
        tensor = state.pop(key)
        if not key.startswith(droppable):
            state[_OLD_DENSENET.sub(r"\1\2", key)] = tensor
    return state


def _origin(known: Known) -> str:
    if known.source == "torchvision":
        return f"ImageNet, torchvision {known.tag}"
    repository, _, address = _place(known)
    return f"timm {known.tag}, " + (f"Hugging Face {repository}" if repository else address.split("/")[2])
