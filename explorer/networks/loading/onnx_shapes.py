"""ONNX's operators that move numbers about: shapes, places, sizes; see `onnx_operators`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Numbers = Tensor | Sequence[int]


def listed(numbers: Numbers | None) -> list[int]:
    """Of a tensor, a sequence, or nothing."""
    if numbers is None:
        return []
    return [int(n) for n in (numbers.reshape(-1).tolist() if isinstance(numbers, Tensor) else numbers)]


def number(value: Any) -> float:
    """Of a tensor of one number, or a number."""
    return float(value.item() if isinstance(value, Tensor) else value)


def _lengths(x: Tensor, shape: Numbers, allowzero: int) -> list[int]:
    return [x.shape[n] if length == 0 and not allowzero else length for n, length in enumerate(listed(shape))]


def _reshape_one(x: Tensor, shape: Numbers, *, allowzero: int = 0) -> Tensor:
    return x.reshape(_lengths(x, shape, allowzero))


def _reshape(x: Tensor, shape: Numbers, *, allowzero: int = 0) -> Tensor:
    lengths = _lengths(x, shape, allowzero)
    # Many files are written for one image. The batch leads, alone or times the windows of an image.
    if lengths and -1 not in lengths:
        lengths[0] = -1
    elif lengths and lengths[0] == 1:
        lengths[0] = x.shape[0]
    return x.reshape(lengths)


def _flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    return x.flatten(1) if axis == 1 and x.ndim > 1 else x.reshape(math.prod(x.shape[:axis]), -1)


def _transpose(x: Tensor, *, perm: Sequence[int] | None = None) -> Tensor:
    return x.permute(*(perm if perm is not None else reversed(range(x.ndim))))


def _squeeze(x: Tensor, axes: Numbers | None = None) -> Tensor:
    gone = {axis % x.ndim for axis in listed(axes)} or {n for n, length in enumerate(x.shape) if length == 1 and n}
    return x.reshape([length for n, length in enumerate(x.shape) if n not in gone])


def _squeeze_one(x: Tensor, axes: Numbers | None = None) -> Tensor:
    return x.squeeze() if axes is None else _squeeze(x, axes)


def _unsqueeze(x: Tensor, axes: Numbers) -> Tensor:
    places = listed(axes)
    for axis in sorted(axis % (x.ndim + len(places)) for axis in places):
        x = x.unsqueeze(axis)
    return x


def _concat(*tensors: Tensor, axis: int) -> Tensor:
    batch = max(tensor.shape[0] for tensor in tensors if tensor.ndim)
    if axis % tensors[0].ndim:  # a class token has been repeated for one image
        tensors = tuple(tensor.expand(batch, *tensor.shape[1:]) if len(tensor) == 1 else tensor for tensor in tensors)
    return torch.cat(tensors, axis)


def _split(x: Tensor, split: Numbers | None = None, *, axis: int = 0, num_outputs: int = 0, outputs: int
           ) -> tuple[Tensor, ...]:
    return x.split(listed(split) or -(-x.shape[axis] // (num_outputs or outputs)), axis)


def _slice(x: Tensor, starts: Numbers, ends: Numbers, axes: Numbers | None = None, steps: Numbers | None = None
           ) -> Tensor:
    first, last = listed(starts), listed(ends)
    for n, axis in enumerate(listed(axes) or range(len(first))):
        step = listed(steps)[n] if steps is not None else 1
        chosen = range(x.shape[axis])[first[n] : last[n] : step]
        if step > 0:
            x = x[(slice(None),) * (axis % x.ndim) + (slice(chosen.start, chosen.stop, step),)]
        else:
            x = x.index_select(axis, torch.tensor(list(chosen), device=x.device))
    return x


def _gather(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    places = indices.to(x.device).long()
    places = torch.where(places < 0, places + x.shape[axis], places)
    picked = x.index_select(axis, places.reshape(-1))
    axis %= x.ndim
    return picked.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def _gather_nd(x: Tensor, indices: Tensor, *, batch_dims: int = 0) -> Tensor:
    if batch_dims:
        raise ValueError("dimensions of a batch")
    return x[indices.long().unbind(-1)]


def _scatter_nd(x: Tensor, indices: Tensor, updates: Tensor, *, reduction: str = "none") -> Tensor:
    if reduction != "none":
        raise ValueError(f"reduction {reduction}")
    return x.index_put(indices.long().unbind(-1), updates)


def _expand(x: Tensor, shape: Numbers) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, tuple(listed(shape))))


def _pad(x: Tensor, pads: Numbers, value: Any = None, axes: Numbers | None = None, *, mode: str = "constant"
         ) -> Tensor:
    ends, sides = listed(pads), [[0, 0] for _ in range(x.ndim)]
    for n, axis in enumerate(listed(axes) or range(x.ndim)):
        sides[axis] = [ends[n], ends[n + len(ends) // 2]]
    while mode != "constant" and len(sides) > x.ndim - 2:
        if any(sides.pop(0)):
            raise ValueError("only positions can be padded by other ones")
    flat = [length for side in reversed(sides) for length in side]
    kind = {"edge": "replicate"}.get(mode, mode)
    return functional.pad(x, flat, kind, number(value or 0.0) if mode == "constant" else None)


def _depth_to_space(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    if mode == "CRD":
        return functional.pixel_shuffle(x, blocksize)
    _, channels, rows, columns = x.shape
    parts = x.reshape(-1, blocksize, blocksize, channels // blocksize**2, rows, columns)
    return parts.permute(0, 3, 4, 1, 5, 2).reshape(-1, channels // blocksize**2, rows * blocksize, columns * blocksize)


def _space_to_depth(x: Tensor, *, blocksize: int) -> Tensor:
    _, channels, rows, columns = x.shape
    parts = x.reshape(-1, channels, rows // blocksize, blocksize, columns // blocksize, blocksize)
    return parts.permute(0, 3, 5, 1, 2, 4).reshape(-1, channels * blocksize**2, rows // blocksize, columns // blocksize)


def _resize(x: Tensor, roi: Any = None, scales: Any = None, sizes: Numbers | None = None, *, mode: str = "nearest",
            coordinate_transformation_mode: str = "half_pixel", **rest: Any) -> Tensor:
    # What is left out here (rounding of "nearest", other coordinates) shows in the comparison with ONNX Runtime.
    if sizes is None:
        factors = [number(factor) for factor in scales]
        sizes = [int(length * factor) for length, factor in zip(x.shape, factors, strict=True)]
    kinds = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}
    corners = None if mode == "nearest" else coordinate_transformation_mode == "align_corners"
    return functional.interpolate(x, listed(sizes)[2:], mode=kinds[mode], align_corners=corners)


def _constant_of_shape(shape: Numbers, *, value: Tensor | None = None) -> Tensor:
    return torch.full(listed(shape), 0.0 if value is None else value.item())


SHAPES: dict[str, Callable[..., Any]] = {
    "Reshape": _reshape, "Flatten": _flatten, "Transpose": _transpose, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze,
    "Concat": _concat, "Split": _split, "Slice": _slice, "Gather": _gather, "Expand": _expand, "Pad": _pad,
    "GatherND": _gather_nd, "ScatterND": _scatter_nd,
    "Tile": lambda x, repeats: x.repeat(*listed(repeats)), "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth, "Resize": _resize, "ConstantOfShape": _constant_of_shape,
    "Upsample": lambda x, scales, mode="nearest": _resize(x, None, scales, mode=mode),
    "Range": lambda start, limit, delta: torch.arange(*(int(number(value)) for value in (start, limit, delta))),
    "Einsum": lambda *tensors, equation: torch.einsum(equation, *tensors),
    "GatherElements": lambda x, indices, axis=0: torch.gather(x, axis, indices.to(x.device)),
}

# As the standard has them: above, the first length is taken to be that of a batch, which a constant has not.
OF_ONE: dict[str, Callable[..., Any]] = {
    "Reshape": _reshape_one, "Squeeze": _squeeze_one, "Concat": lambda *tensors, axis: torch.cat(tensors, axis),
}


def of_any_batch(kind: str, values: Sequence[Any], made: Tensor, attributes: Mapping[str, Any]) -> list[Any]:
    """An operator's inputs with its shape, which was written for one image, changed so that it holds for a batch.

    Args:
        kind: key of OPERATORS.
        values: inputs for one image.
        made: what the operator makes of them.
        attributes: of the operator.
    """
    x, *rest = values
    if kind == "Expand":  # a length that is there already is kept, however long
        shape = listed(rest[0])
        own = [1] * (len(shape) - x.ndim) + list(x.shape)
        return [x, torch.tensor([1 if length == there else length for length, there in zip(
            shape, own[len(own) - len(shape):], strict=True)], dtype=torch.long)]
    if kind == "Reshape":
        first, *others = listed(rest[0]) or [-1]
        is_copied = first == 0 and not attributes.get("allowzero")
        if -1 in others and not is_copied and (first, *x.shape[:1]) != (1, 1):
            return [x, torch.tensor(made.shape)]  # the windows of an image lead: of more images there are more
    return list(values)
