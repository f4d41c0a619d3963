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

from explorer.networks.loading.onnx_shapes import SHAPES, Numbers, listed, number

# Of onnx.TensorProto.DataType; every kind of real number is float32 here, every whole one int64.
_DTYPES = dict.fromkeys((1, 10, 11, 16), torch.float32) | {
    2: torch.uint8, 3: torch.int8, 6: torch.int64, 7: torch.int64, 9: torch.bool}


def _folded(compute: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda *tensors: reduce(compute, tensors)


def _reducing(compute: Callable[[Tensor, list[int], bool], Tensor]) -> Callable[..., Tensor]:
    def run(x: Tensor, axes: Numbers | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Tensor:
        if not listed(axes) and noop_with_empty_axes:
            return x
        return compute(x, listed(axes) or list(range(x.ndim)), bool(keepdims))
    return run


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _divide(a: Tensor, b: Tensor) -> Tensor:
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _clip(x: Tensor, min: Any = None, max: Any = None) -> Tensor:
    low, high = (-math.inf if min is None else number(min)), (math.inf if max is None else number(max))
    if low == 0 and high in (6, math.inf):
        return functional.relu6(x) if high == 6 else functional.relu(x)
    return functional.hardtanh(x, low, high) if low < high else x.clamp(low, high)


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, slope * x, x)


def _cast(x: Tensor, *, to: int, saturate: int = 1, round_mode: str = "") -> Tensor:
    return x.to(_DTYPES[to])


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
    **SHAPES,
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
