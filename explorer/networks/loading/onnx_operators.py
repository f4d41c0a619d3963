"""ONNX's operators as functions of torch: inputs by place, attributes by name, as the ONNX standard has them.

Only what classifiers are made of. Where an older opset has as an attribute what a newer one has as an input (axes,
pads, min), one parameter takes both. Each conversion is compared with ONNX Runtime when a file is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Numbers = Tensor | Sequence[int]
# Of onnx.TensorProto.DataType; every kind of real number is float32 here, every whole one int64.
_DTYPES = dict.fromkeys((1, 10, 11, 16), torch.float32) | {
    2: torch.uint8, 3: torch.int8, 6: torch.int64, 7: torch.int64, 9: torch.bool}


def _list(numbers: Numbers | None) -> list[int]:
    if numbers is None:
        return []
    return [int(n) for n in (numbers.reshape(-1).tolist() if isinstance(numbers, Tensor) else numbers)]


def _number(value: Any) -> float:
    return float(value.item() if isinstance(value, Tensor) else value)


def _folded(compute: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda *tensors: reduce(compute, tensors)


def _reducing(compute: Callable[[Tensor, list[int], bool], Tensor]) -> Callable[..., Tensor]:
    def run(x: Tensor, axes: Numbers | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Tensor:
        if not _list(axes) and noop_with_empty_axes:
            return x
        return compute(x, _list(axes) or list(range(x.ndim)), bool(keepdims))
    return run


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _divide(a: Tensor, b: Tensor) -> Tensor:
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _clip(x: Tensor, min: Any = None, max: Any = None) -> Tensor:
    low, high = (-math.inf if min is None else _number(min)), (math.inf if max is None else _number(max))
    if low == 0 and high in (6, math.inf):
        return functional.relu6(x) if high == 6 else functional.relu(x)
    return functional.hardtanh(x, low, high) if low < high else x.clamp(low, high)


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, slope * x, x)


def _cast(x: Tensor, *, to: int, saturate: int = 1, round_mode: str = "") -> Tensor:
    return x.to(_DTYPES[to])


# Shapes and places


def _reshape(x: Tensor, shape: Numbers, *, allowzero: int = 0) -> Tensor:
    lengths = [x.shape[n] if length == 0 and not allowzero else length for n, length in enumerate(_list(shape))]
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
    gone = {axis % x.ndim for axis in _list(axes)} or {n for n, length in enumerate(x.shape) if length == 1 and n}
    return x.reshape([length for n, length in enumerate(x.shape) if n not in gone])


def _unsqueeze(x: Tensor, axes: Numbers) -> Tensor:
    places = _list(axes)
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
    return x.split(_list(split) or -(-x.shape[axis] // (num_outputs or outputs)), axis)


def _slice(x: Tensor, starts: Numbers, ends: Numbers, axes: Numbers | None = None, steps: Numbers | None = None
           ) -> Tensor:
    first, last = _list(starts), _list(ends)
    for n, axis in enumerate(_list(axes) or range(len(first))):
        step = _list(steps)[n] if steps is not None else 1
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
    return x.expand(torch.broadcast_shapes(x.shape, tuple(_list(shape))))


def _pad(x: Tensor, pads: Numbers, value: Any = None, axes: Numbers | None = None, *, mode: str = "constant"
         ) -> Tensor:
    ends, sides = _list(pads), [[0, 0] for _ in range(x.ndim)]
    for n, axis in enumerate(_list(axes) or range(x.ndim)):
        sides[axis] = [ends[n], ends[n + len(ends) // 2]]
    while mode != "constant" and len(sides) > x.ndim - 2:
        if any(sides.pop(0)):
            raise ValueError("only positions can be padded by other ones")
    flat = [length for side in reversed(sides) for length in side]
    kind = {"edge": "replicate"}.get(mode, mode)
    return functional.pad(x, flat, kind, _number(value or 0.0) if mode == "constant" else None)


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
        factors = [_number(factor) for factor in scales]
        sizes = [int(length * factor) for length, factor in zip(x.shape, factors, strict=True)]
    kinds = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}
    corners = None if mode == "nearest" else coordinate_transformation_mode == "align_corners"
    return functional.interpolate(x, _list(sizes)[2:], mode=kinds[mode], align_corners=corners)


def _constant_of_shape(shape: Numbers, *, value: Tensor | None = None) -> Tensor:
    return torch.full(_list(shape), 0.0 if value is None else value.item())


# Layers


def _sides(x: Tensor, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], pads: Sequence[int],
           auto_pad: str) -> list[tuple[int, int]]:
    """(before, after) of each dimension."""
    if auto_pad in ("NOTSET", "VALID"):
        count = len(kernel)
        return list(zip(pads[:count], pads[count:], strict=True)) if auto_pad == "NOTSET" and pads else [(0, 0)] * count
    sides = []
    for length, size, stride, dilation in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        missing = max(0, (-(-length // stride) - 1) * stride + (size - 1) * dilation + 1 - length)
        half = missing // 2
        sides.append((half, missing - half) if auto_pad == "SAME_UPPER" else (missing - half, half))
    return sides


def _padded(x: Tensor, sides: list[tuple[int, int]], value: float = 0.0) -> Tensor:
    flat = [length for side in reversed(sides) for length in side]
    return functional.pad(x, flat, value=value) if any(flat) else x


def _conv(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, group: int = 1, kernel_shape: Any = None,
          strides: Any = None, dilations: Any = None, pads: Any = (), auto_pad: str = "NOTSET") -> Tensor:
    count = x.ndim - 2
    steps, gaps = strides or [1] * count, dilations or [1] * count
    sides = _sides(x, weight.shape[2:], steps, gaps, pads, auto_pad)
    run = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}[count]
    if all(before == after for before, after in sides):
        return run(x, weight, bias, tuple(steps), tuple(before for before, _ in sides), tuple(gaps), group)
    return run(_padded(x, sides), weight, bias, tuple(steps), 0, tuple(gaps), group)


def _conv_transpose(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, group: int = 1, strides: Any = (1, 1),
                    pads: Any = (0, 0, 0, 0), output_padding: Any = (0, 0), dilations: Any = (1, 1),
                    kernel_shape: Any = None) -> Tensor:
    if list(pads[:2]) != list(pads[2:]):
        raise ValueError("unequal pads")
    return functional.conv_transpose2d(x, weight, bias, strides, pads[:2], output_padding, group, dilations)


def _max_pool(x: Tensor, *, kernel_shape: Any, strides: Any = None, dilations: Any = None, pads: Any = (),
              auto_pad: str = "NOTSET", ceil_mode: int = 0, storage_order: int = 0) -> Tensor:
    steps, gaps = strides or [1] * len(kernel_shape), dilations or [1] * len(kernel_shape)
    sides = _sides(x, kernel_shape, steps, gaps, pads, auto_pad)
    if all(before == after <= size // 2 for (before, after), size in zip(sides, kernel_shape, strict=True)):
        before = tuple(side[0] for side in sides)
        return functional.max_pool2d(x, kernel_shape, tuple(steps), before, tuple(gaps), bool(ceil_mode))
    return functional.max_pool2d(_padded(x, sides, -math.inf), kernel_shape, tuple(steps), 0, tuple(gaps),
                                 bool(ceil_mode))


def _average_pool(x: Tensor, *, kernel_shape: Any, strides: Any = None, pads: Any = (), auto_pad: str = "NOTSET",
                  ceil_mode: int = 0, count_include_pad: int = 0, dilations: Any = None) -> Tensor:
    if any(gap != 1 for gap in dilations or ()):
        raise ValueError("dilated averages")
    steps = tuple(strides or [1] * len(kernel_shape))
    sides = _sides(x, kernel_shape, steps, [1] * len(kernel_shape), pads, auto_pad)
    if all(before == after <= size // 2 for (before, after), size in zip(sides, kernel_shape, strict=True)):
        before = tuple(side[0] for side in sides)
        return functional.avg_pool2d(x, kernel_shape, steps, before, bool(ceil_mode), bool(count_include_pad))
    sums = functional.avg_pool2d(_padded(x, sides), kernel_shape, steps, 0, bool(ceil_mode))
    if count_include_pad:
        return sums
    return sums / functional.avg_pool2d(_padded(torch.ones_like(x[:1, :1]), sides), kernel_shape, steps, 0,
                                        bool(ceil_mode))


def _batch_norm(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, *, epsilon: float = 1e-5,
                momentum: float = 0.9, training_mode: int = 0, spatial: int = 1) -> Tensor:
    if training_mode:
        raise ValueError("statistics of the batch")
    return functional.batch_norm(x, mean, variance, scale, bias, False, 0.0, epsilon)


def _layer_norm(x: Tensor, scale: Tensor | None = None, bias: Tensor | None = None, *, axis: int = -1,
                epsilon: float = 1e-5, stash_type: int = 1) -> Tensor:
    return functional.layer_norm(x, x.shape[axis:], scale, bias, epsilon)


def _group_norm(x: Tensor, scale: Tensor, bias: Tensor, *, num_groups: int, epsilon: float = 1e-5,
                stash_type: int = 1) -> Tensor:
    times = x.shape[1] // len(scale)  # before opset 21 there is one scale a group
    return functional.group_norm(x, num_groups, scale.repeat_interleave(times), bias.repeat_interleave(times), epsilon)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A MatMul with a constant matrix, weight (in, out), and an Add: no operator of ONNX, see `onnx_module`."""
    return functional.linear(x, weight.mT, bias)


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    return functional.linear(a, b.mT) if b.ndim == 2 else a @ b


def _gemm(a: Tensor, b: Tensor, c: Tensor | None = None, *, alpha: float = 1.0, beta: float = 1.0, transA: int = 0,  # noqa: N803
          transB: int = 0) -> Tensor:  # noqa: N803
    a, weight = (a.mT if transA else a), (b if transB else b.mT)
    if alpha == 1 and (c is None or (beta == 1 and c.numel() == len(weight))):
        return functional.linear(a, weight, None if c is None else c.reshape(-1))
    product = alpha * functional.linear(a, weight)
    return product if c is None else product + beta * c


def _softmax(compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def run(x: Tensor, *, axis: int = -1, flat: bool = False) -> Tensor:
        if flat and axis % x.ndim != x.ndim - 1:  # before opset 13: over all dimensions from that one on
            return compute(x.flatten(axis), axis).reshape(x.shape)
        return compute(x, 1 if x.ndim == 2 and axis == -1 else axis)
    return run


def _dequantize(x: Tensor, scale: Tensor, zero: Tensor | None = None, *, axis: int = 1, **rest: Any) -> Tensor:
    def along(numbers: Tensor) -> Tensor:
        return numbers.reshape([-1 if n == axis % x.ndim else 1 for n in range(x.ndim)]) if numbers.numel() > 1 \
            else numbers.reshape(())
    return (x.float() - (0.0 if zero is None else along(zero.float()))) * along(scale)


OPERATORS: dict[str, Callable[..., Any]] = {
    "Relu": functional.relu, "Sigmoid": torch.sigmoid, "Tanh": torch.tanh, "HardSwish": functional.hardswish,
    "Softsign": functional.softsign, "Mish": functional.mish, "Erf": torch.erf, "Exp": torch.exp, "Log": torch.log,
    "Sqrt": torch.sqrt, "Reciprocal": torch.reciprocal, "Neg": torch.neg, "Abs": torch.abs, "Floor": torch.floor,
    "Ceil": torch.ceil, "Round": torch.round, "Sign": torch.sign, "Sin": torch.sin, "Cos": torch.cos,
    "Not": torch.logical_not, "Softplus": functional.softplus,
    "LeakyRelu": lambda x, alpha=0.01: functional.leaky_relu(x, alpha),
    "HardSigmoid": lambda x, alpha=0.2, beta=0.5: (alpha * x + beta).clamp(0, 1),
    "Elu": lambda x, alpha=1.0: functional.elu(x, alpha), "Celu": lambda x, alpha=1.0: functional.celu(x, alpha),
    "Selu": lambda x: functional.selu(x), "Swish": lambda x, alpha=1.0: x * torch.sigmoid(alpha * x),
    "Gelu": lambda x, approximate="none": functional.gelu(x, approximate=approximate),
    "Clip": _clip, "PRelu": _prelu, "Cast": _cast, "CastLike": lambda x, like: x.to(like.dtype),
    "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": _divide, "Pow": torch.pow,
    "Min": _folded(torch.minimum), "Max": _folded(torch.maximum), "Sum": _folded(torch.add),
    "Mean": lambda *tensors: reduce(torch.add, tensors) / len(tensors),
    "Mod": lambda a, b, fmod=0: torch.remainder(a, b),
    "Equal": torch.eq, "Greater": torch.gt, "Less": torch.lt, "GreaterOrEqual": torch.ge, "LessOrEqual": torch.le,
    "And": torch.logical_and, "Or": torch.logical_or, "Where": torch.where,
    "Reshape": _reshape, "Flatten": _flatten, "Transpose": _transpose, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze,
    "Concat": _concat, "Split": _split, "Slice": _slice, "Gather": _gather, "Expand": _expand, "Pad": _pad,
    "GatherND": _gather_nd, "ScatterND": _scatter_nd,
    "Tile": lambda x, repeats: x.repeat(*_list(repeats)), "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth, "Resize": _resize, "ConstantOfShape": _constant_of_shape,
    "Upsample": lambda x, scales, mode="nearest": _resize(x, None, scales, mode=mode),
    "Range": lambda start, limit, delta: torch.arange(*(int(_number(value)) for value in (start, limit, delta))),
    "Einsum": lambda *tensors, equation: torch.einsum(equation, *tensors),
    "GatherElements": lambda x, indices, axis=0: torch.gather(x, axis, indices.to(x.device)),
    "ReduceMean": _reducing(lambda x, axes, keep: x.mean(axes, keep)),
    "ReduceSum": _reducing(lambda x, axes, keep: x.sum(axes, keep)),
    "ReduceMax": _reducing(lambda x, axes, keep: x.amax(axes, keep)),
    "ReduceMin": _reducing(lambda x, axes, keep: x.amin(axes, keep)),
    "ReduceProd": _reducing(_product),
    "ReduceL1": _reducing(lambda x, axes, keep: x.abs().sum(axes, keep)),
    "ReduceL2": _reducing(lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keep)),
    "ReduceSumSquare": _reducing(lambda x, axes, keep: x.square().sum(axes, keep)),
    "ReduceLogSumExp": _reducing(lambda x, axes, keep: torch.logsumexp(x, axes, keep)),
    "GlobalAveragePool": lambda x: x.mean(tuple(range(2, x.ndim)), keepdim=True),
    "GlobalMaxPool": lambda x: x.amax(tuple(range(2, x.ndim)), keepdim=True),
    "Conv": _conv, "ConvTranspose": _conv_transpose, "MaxPool": _max_pool, "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm, "LayerNormalization": _layer_norm, "GroupNormalization": _group_norm,
    "InstanceNormalization": lambda x, scale, bias, epsilon=1e-5: functional.instance_norm(
        x, weight=scale, bias=bias, eps=epsilon),
    "LpNormalization": lambda x, axis=-1, p=2: functional.normalize(x, p, axis),
    "LRN": lambda x, size, alpha=1e-4, beta=0.75, bias=1.0: functional.local_response_norm(x, size, alpha, beta, bias),
    "Linear": _linear, "MatMul": _matmul, "Gemm": _gemm, "DequantizeLinear": _dequantize,
    "Softmax": _softmax(functional.softmax), "LogSoftmax": _softmax(functional.log_softmax),
}
