"""A network whose head is damped, as a checkpoint in the layout that the network came from."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from explorer.errors import MethodError
from explorer.folder.head_outcomes import backbone_of
from explorer.folder.muting import Muting, last_linear
from explorer.folder.run import Run
from explorer.networks import Network
from explorer.networks.loading.bundled import BUNDLED, architecture
from explorer.networks.loading.checkpoint import MADE_WITH


def damped(weight: Tensor, shares: np.ndarray, strength: float, class_index: int | None) -> Tensor:
    """A Linear's weight (classes, C) with its channels times 1 - strength * share, in one class's row or in all.

    Args:
        shares: (C,) or longer, of each channel, 0 to 1.
        strength: 0 to 1.
    """
    factors = 1 - strength * torch.from_numpy(np.asarray(shares[: weight.shape[1]], np.float32))
    changed = weight.detach().clone()
    if class_index is None:
        changed *= factors
    else:
        changed[class_index] *= factors
    return changed


def repaired_state(network: Network, muting: Muting, strength: float) -> dict[str, Tensor]:
    """The whole network's state dict, with the names of its architecture, and the head as it is when muted.

    Raises MethodError where the head cannot be damped, or of the network only its parts are known (an ONNX file).
    """
    linear = last_linear(network)[1]
    weight, bias = linear.weight, linear.bias
    state = {} if network.layers.model is None else dict(network.layers.model.state_dict())
    names = [name for name, tensor in state.items() if tensor.shape == weight.shape and torch.equal(tensor, weight)]
    if not names:
        raise MethodError("The network has no state dict to write the head into (an ONNX file has none); expected a "
                          "checkpoint, or a network of torchvision or timm. The recipe says what to damp.")
    state[names[-1]] = damped(weight, muting.shares, strength, muting.class_index)
    if bias is not None:
        own = f"{names[-1].removesuffix('weight')}bias"
        raised, rows = bias.detach().clone(), slice(None) if muting.class_index is None else muting.class_index
        raised[rows] += strength * torch.from_numpy(np.asarray(muting.given_back, np.float32))
        state[own] = raised
    return {name: tensor.detach().contiguous().clone() for name, tensor in state.items()}


def checkpoint_bytes(run: Run, state: dict[str, Tensor], ending: str = ".safetensors") -> bytes:
    """A state dict as a file: .safetensors, with what the run's network is made with beside it, or as torch.save's.

    Such a .safetensors needs neither architecture nor class names when it is loaded.
    """
    if ending != ".safetensors":
        stream = io.BytesIO()
        torch.save(state, stream)
        return stream.getvalue()
    network, backbone = run.network, backbone_of(run)["network"]
    made_with = {
        "architecture": architecture() if backbone in BUNDLED else backbone,
        "preprocessing": asdict(network.preprocessing), "class_names": list(network.class_names),
        "activation": network.activation,
    }
    return save(state, metadata={MADE_WITH: json.dumps(made_with)})


def endings(run: Run) -> list[str]:
    """The kinds of checkpoints that the repaired network is offered as: safetensors, and that which it came from."""
    own = Path((run.recipe["network"]["options"] or {}).get("checkpoint") or "").suffix.lower()
    return [".safetensors", *([own] if own in (".pth", ".pt", ".ckpt", ".bin") else [])]


def recipe_of_repair(run: Run, muting: Muting, strength: float, numbers: dict[str, Any]) -> dict[str, Any]:
    """What repeats a repair: the network, the class, the strength, each channel's factor, what the bias gains, and what
    changed.

    Args:
        numbers: before and after, as plain numbers.
    """
    network, shares, class_index = run.recipe["network"], muting.shares, muting.class_index
    factors = {str(channel): round(float(1 - strength * shares[channel]), 6) for channel in np.flatnonzero(shares)}
    return {
        "kind": "damped head", "network": {name: network[name] for name in ("name", "title", "sha256", "options")},
        "run": str(run.path),
        "class": None if class_index is None else {"index": class_index, "name": network["class_names"][class_index]},
        "strength": strength, "factors": factors, "bias": np.round(strength * muting.given_back, 6).tolist(),
        "numbers": numbers,
    }
