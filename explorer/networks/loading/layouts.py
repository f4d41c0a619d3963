"""How training scripts lay out a checkpoint: which of a file's entries are the weights, and what else it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from explorer.errors import NetworkError
from explorer.networks.loading.class_names import names_in
from explorer.networks.loading.files import one_line
from explorer.networks.loading.inert_pickle import Claim, Inert

WRAPPINGS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params")
# Averages that timm takes where there are any, before the weights themselves; and those of others, for want of these.
PREFERRED = ("state_dict_ema", "model_ema")
AVERAGES = ("ema", "ema_state_dict", "params_ema")
_HINTS = ("arch", "architecture", "model_name", "model", "backbone", "base_model")
_SETTINGS = ("args", "hyper_parameters", "config", "cfg", "hparams", "opt", "meta", "dataset_meta")
# clone() parts tensors that share memory and lays out those that are not contiguous: save_file refuses both.
SAVING = ("safetensors.torch.save_file({name: tensor.clone(memory_format=torch.contiguous_format) "
          'for name, tensor in model.state_dict().items()}, "model.safetensors")')
EXPORTING = 'torch.onnx.export(model.eval(), (torch.rand(1, 3, 224, 224),), "model.onnx", external_data=False)'
_UNREADABLE = {  # what makes tensors of another kind, for the sentence
    "_rebuild_sparse_tensor": "a sparse tensor", "_rebuild_qtensor": "a quantised tensor",
    "_rebuild_meta_tensor_no_storage": "a tensor without numbers (meta)", "_rebuild_nested_tensor": "a nested tensor",
    "_rebuild_wrapper_subclass": "a tensor of a custom class",
    "_rebuild_device_tensor_from_numpy": "a tensor of another device",
    "_rebuild_device_tensor_from_cpu_tensor": "a tensor of another device",
}


@dataclass(frozen=True)
class Layout:
    """What a checkpoint's tree holds.

    Attributes:
        claims: the weights, by name.
        opened: the entries that were opened to reach them.
        cautions: sentences on a choice that was made among its entries.
        class_names: as the file has them; None where it has none.
        hints: what the file calls its architecture, the likeliest first.
    """

    claims: dict[str, Claim]
    opened: tuple[str, ...]
    cautions: tuple[str, ...]
    class_names: tuple[str, ...] | None
    hints: tuple[str, ...]


def laid_out(tree: Any, name: str) -> Layout:
    """The layout of what torch.save wrote; `name` is the file's, for sentences.

    Raises NetworkError where there is no state dict of plain tensors.
    """
    opened: list[str] = []
    cautions: list[str] = []
    outside = tree
    for _ in range(6):
        key = _wrapping(tree) if isinstance(tree, dict) else None
        if key is None:
            break
        cautions += _choice(tree, key)
        opened.append(key)
        tree = tree[key]
    claims = _claims_in(tree) if isinstance(tree, dict) else {}
    claims.pop("n_averaged", None)  # torch's AveragedModel counts its steps beside the weights
    _check(tree, claims, name)
    settings = list(_dicts(outside))
    return Layout(claims, tuple(opened), tuple(cautions), next((names for names in map(names_in, settings) if names),
                                                               None), tuple(_hints(settings)))


def readings(state: Mapping[str, Tensor]) -> dict[tuple[str, ...], dict[str, Tensor]]:
    """The ways in which this state dict's names can be read: as they are, then without each shared first name.

    Lightning puts `model.` or `net.` before all names, but an architecture may have an attribute of that name itself:
    so nothing is decided here. A first name is shared when at least three of four tensors have it; what does not
    have it (a loss's weights, a metric's counts) is left out of that reading.

    Returns:
        State dicts by what was taken off their names: (), ("model.",), ("model.", "net.").
    """
    opened: tuple[str, ...] = ()
    rest = dict(state)
    known = {opened: rest}
    for _ in range(4):
        first_names = Counter(key.partition(".")[0] for key in rest if "." in key)
        [(first, count)] = first_names.most_common(1) or [("", 0)]
        if not count or count < 0.75 * len(rest):
            break
        prefix = f"{first}."
        rest = {key.removeprefix(prefix): tensor for key, tensor in rest.items() if key.startswith(prefix)}
        opened = (*opened, prefix)
        known[opened] = rest
    return known


def without_wrappers(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Without what torch.compile puts into names and DataParallel before all of them."""
    opened = []
    if any("_orig_mod." in key for key in state):
        opened.append("_orig_mod.")
        state = {key.replace("_orig_mod.", ""): tensor for key, tensor in state.items()}
    if state and all(key.startswith("module.") for key in state):
        opened.append("module.")
        state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    return state, tuple(opened)


def _choice(tree: dict[Any, Any], key: str) -> Iterator[str]:
    """A sentence where averaged weights were taken, or left for the weights themselves."""
    averages = [other for other in (*PREFERRED, *AVERAGES) if other in tree and isinstance(tree[other], dict)]
    if key in averages:
        raw = "the raw ones are in the file too" if any(other in tree for other in WRAPPINGS) else "no others are there"
        yield f"Weights: the average over training steps (EMA, {key}); {raw}."
    elif averages:
        yield f"Weights: the raw ones ({key}); the file has an average over training steps too ({averages[0]})."


def _check(tree: Any, claims: Mapping[str, Claim], name: str) -> None:
    """Raises NetworkError with what to do where there are no weights, or some of another kind."""
    objects = [value.made_by for value in [tree, *(tree.values() if isinstance(tree, dict) else [])]
               if isinstance(value, Inert)]
    for made_by in objects:
        if made_by.module.startswith("torch") and (what := _unreadable(made_by.name)):
            raise NetworkError(f"{name} holds {what}; expected plain tensors of real numbers.")
    if not claims and objects:
        raise NetworkError(f"{name} holds a Python object ({one_line('.'.join(objects[0]))}) and not a state dict; "
                           "PoolScope runs nothing in a file: where the object is at hand as model, save it with "
                           f"{EXPORTING} and load that file, or save model.state_dict() alone.")
    if not claims:
        raise NetworkError(f"{name} holds no state dict: expected names with tensors, at the top or under one of "
                           f"{', '.join(WRAPPINGS[:3])}.")


def _unreadable(name: str) -> str:
    """What kind of tensor was made by a name of torch; "" for another object."""
    if name in _UNREADABLE:
        return _UNREADABLE[name]
    if name.endswith("Storage") and name.startswith(("Complex", "Q")):
        return "complex numbers" if name.startswith("C") else "quantised tensors"
    is_dtype = isinstance(getattr(torch, name, None), torch.dtype)
    return f"numbers of the kind {one_line(name)}" if is_dtype or name.endswith("Storage") else ""


def _wrapping(tree: dict[Any, Any]) -> str | None:
    """The entry to open: what timm opens first, another known one, else the only dict of tensors."""
    dicts = {id(value): value for value in tree.values() if isinstance(value, dict)}  # one may stand there many times
    holding = {key for key, value in dicts.items() if _claims_in(value) or _has_wrapping(value)}
    inside = [key for key, value in tree.items() if isinstance(key, str) and id(value) in holding]
    for key in (*PREFERRED, *WRAPPINGS, *AVERAGES):
        if key in inside:
            return key
    others = [key for key in inside if "optim" not in key]
    return others[0] if len(others) == 1 and not _claims_in(tree) else None


def _has_wrapping(tree: dict[Any, Any]) -> bool:
    return any(isinstance(tree.get(key), dict) for key in (*WRAPPINGS, *PREFERRED, *AVERAGES))


def _claims_in(tree: dict[Any, Any]) -> dict[str, Claim]:
    return {key: value for key, value in tree.items() if isinstance(key, str) and isinstance(value, Claim)}


def _dicts(tree: Any, depth: int = 3) -> Iterator[dict[Any, Any]]:
    """The tree, and the settings in it as dicts, those of an object included."""
    tree = tree.state if isinstance(tree, Inert) and isinstance(tree.state, dict) else tree
    if not isinstance(tree, dict) or depth < 0:
        return
    yield tree
    for key in _SETTINGS:
        yield from _dicts(tree.get(key), depth - 1)


def _hints(settings: list[dict[Any, Any]]) -> Iterator[str]:
    for tree in settings:
        for key in _HINTS:
            if isinstance(value := tree.get(key), str) and 0 < len(value) <= 80:
                yield value
