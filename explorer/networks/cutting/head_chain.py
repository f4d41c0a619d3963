"""The head as a chain of plain modules, read from the operations of one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from explorer.networks.head import Elementwise, UnitNorm

Module = TypeVar("Module", bound=nn.Module)

# These only rearrange a vector, or do nothing in evaluation; that they did is checked on the numbers.
_REARRANGING = {
    "flatten", "reshape", "view", "squeeze", "unsqueeze", "permute", "transpose", "contiguous", "dropout", "dropout_",
    "alpha_dropout", "feature_dropout", "dropout2d", "getitem", "__getitem__", "mean", "adaptive_avg_pool2d",
    "avg_pool2d", "identity", "to", "float", "type_as", "clone", "detach", "expand", "mT", "t", "unflatten",
}
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU, "relu6": nn.ReLU6, "hardswish": nn.Hardswish, "silu": nn.SiLU, "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid, "mish": nn.Mish, "hardsigmoid": nn.Hardsigmoid, "selu": nn.SELU, "softsign": nn.Softsign,
    "logsigmoid": nn.LogSigmoid, "softmax": lambda: nn.Softmax(1), "log_softmax": lambda: nn.LogSoftmax(1),
}
# These have a setting: its name, its place among the arguments, and what it is unless given.
_SETTINGS: dict[str, tuple[Callable[..., nn.Module], tuple[tuple[str, float], ...]]] = {
    "leaky_relu": (nn.LeakyReLU, (("negative_slope", 0.01),)), "elu": (nn.ELU, (("alpha", 1.0),)),
    "celu": (nn.CELU, (("alpha", 1.0),)), "hardtanh": (nn.Hardtanh, (("min_val", -1.0), ("max_val", 1.0))),
    "softplus": (nn.Softplus, (("beta", 1.0), ("threshold", 20.0))),
}
_PRODUCTS = ("matmul", "__matmul__", "mm")
_CLAMPING = ("clamp", "clamp_", "clip", "clip_", "hardtanh")
_ELEMENTWISE = {
    "add": "add", "add_": "add", "__add__": "add", "__radd__": "add", "__iadd__": "add",
    "sub": "sub", "__sub__": "sub", "mul": "mul", "mul_": "mul", "__mul__": "mul", "__rmul__": "mul",
    "__imul__": "mul", "multiply": "mul", "div": "div", "div_": "div", "__truediv__": "div", "divide": "div",
}
_DIVIDING = {name for name, operation in _ELEMENTWISE.items() if operation == "div"}
_SYMMETRIC = {name for name, operation in _ELEMENTWISE.items() if operation in ("add", "mul")}


class Step(NamedTuple):
    """One operation that a model did."""

    name: str
    arguments: tuple[Any, ...]
    named: dict[str, Any]
    output: Tensor


class Tape(TorchFunctionMode):
    """Records the operations of its own thread that give tensors; it changes nothing, and no other thread sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        output = function(*args, **named)
        if isinstance(output, Tensor):
            name = getattr(function, "__name__", "").partition(".")[0]  # torch.ops has "linear.default"
            self.steps.append(Step(name, args, named, output))
        return output


def chain_of(head: Callable[[Tensor], Tensor], pooled: Tensor) -> nn.Sequential | None:
    """The head as a Sequential of modules that share its weights; None when it does what has no such form.

    Args:
        head: (B, C) to (B, classes).
        pooled: (B, C), an example.
    """
    with torch.no_grad(), Tape() as tape:
        logits = head(pooled)
    return follow(tape.steps, pooled, logits)


def follow(steps: Sequence[Step], start: Tensor, end: Tensor) -> nn.Sequential | None:
    """The modules that lead from one tensor to another, when each operation reads the one before it and no other.

    What they give must still be compared with the model: an activation's own settings are not read.
    """
    modules: list[nn.Module] = []
    current, index, depending = end, len(steps), _depending(steps, start)
    while True:  # backwards: what else was done on the way, such as a copy that nobody read, leads nowhere
        index = next((n for n in range(index - 1, -1, -1) if steps[n].output is current), -1)
        if index < 0:
            return nn.Sequential(*reversed(modules)) if current is start else None
        step = steps[index]
        inputs = step.arguments or (step.named.get("input"),)
        if step.name in _SYMMETRIC and id(inputs[0]) not in depending:  # as in scale * cosine
            inputs = inputs[::-1]
        source = inputs[0]
        if not isinstance(source, Tensor):
            return None
        if step.name in _CLAMPING and _is_cosine(steps[:index], source) and torch.equal(step.output, source):
            module: nn.Module | None = nn.Identity()  # it lies between -1 and 1 but for rounding
        else:
            alone = not any(id(one) in depending for one in (*inputs[1:], *step.named.values()) if one is not source)
            module = _as_module(step._replace(arguments=inputs), source) if alone else _divided_by_norm(step, source)
        if module is None:
            return None
        if not isinstance(module, nn.Identity):
            modules.append(module)
        current = source


def _depending(steps: Sequence[Step], start: Tensor) -> set[int]:
    """The ids of the tensors that depend on one of them."""
    depending = {id(start)}
    for step in steps:
        if any(id(one) in depending for one in (*step.arguments, *step.named.values())):
            depending.add(id(step.output))
    return depending


def _is_cosine(steps: Sequence[Step], tensor: Tensor) -> bool:
    """Whether a tensor is a product of rows of length 1 with others."""
    step = next((step for step in reversed(steps) if step.output is tensor), None)
    if step is None or step.name not in ("linear", *_PRODUCTS) or len(step.arguments) != 2:
        return False
    one, other = step.arguments
    rows = other if step.name == "linear" else other.mT
    return all(torch.allclose(part.norm(dim=-1), part.new_ones(()), atol=1e-4) for part in (one, rows))


def _divided_by_norm(step: Step, source: Tensor) -> nn.Module | None:
    """A vector divided by its own length, written out."""
    is_unit = step.name in _DIVIDING and torch.allclose(step.output, functional.normalize(source, dim=-1))
    return UnitNorm() if is_unit else None


def _argument(arguments: dict[Any, Any], place: int, name: str, usual: Any = None) -> Any:
    """One argument of an operation, which may have been given by its place or by its name."""
    return arguments.get(place, arguments.get(name, usual))


def _as_module(step: Step, current: Tensor) -> nn.Module | None:
    """What one operation does to a vector; None when that is not known."""
    arguments = dict(enumerate(step.arguments)) | step.named
    if step.name in _REARRANGING:
        same = step.output.numel() == current.numel() and torch.equal(step.output.flatten(), current.flatten())
        return nn.Identity() if same else None
    if step.name.removesuffix("_") in _ACTIVATIONS:
        return _ACTIVATIONS[step.name.removesuffix("_")]()
    if step.name.removesuffix("_") in _SETTINGS:
        make, settings = _SETTINGS[step.name.removesuffix("_")]
        return make(*(_argument(arguments, n, name, usual) for n, (name, usual) in enumerate(settings, 1)))
    if step.name == "prelu":
        weight = _argument(arguments, 1, "weight")
        return _holding(nn.PReLU(len(weight)), weight)
    if step.name == "gelu":
        return nn.GELU(approximate=step.named.get("approximate", "none"))
    if step.name in _ELEMENTWISE:
        return _elementwise(_ELEMENTWISE[step.name], _argument(arguments, 1, "other"), current)
    if step.name in _PRODUCTS:
        second = _argument(arguments, 1, "other", _argument(arguments, 1, "mat2"))
        return linear(second.T, None) if current.ndim == 2 == second.ndim else None
    made = {"normalize": _normalise, "linear": _linear, "conv2d": _convolution, "layer_norm": _layer_norm,
            "batch_norm": _batch_norm}
    return made[step.name](arguments, current) if step.name in made else None


def _elementwise(operation: str, other: Any, current: Tensor) -> nn.Module | None:
    """A constant added, taken off, multiplied or divided by: one number, or one a channel."""
    constant = torch.as_tensor(other, dtype=current.dtype)
    width = current.flatten(1).shape[1]
    if constant.numel() not in (1, width):
        return None
    constant = constant.flatten().expand(width)
    if operation in ("add", "sub"):
        return Elementwise(torch.ones_like(constant), constant if operation == "add" else -constant)
    return Elementwise(constant if operation == "mul" else 1 / constant, torch.zeros_like(constant))


def _normalise(arguments: dict[Any, Any], current: Tensor) -> nn.Module | None:
    power, dimension = _argument(arguments, 1, "p", 2.0), _argument(arguments, 2, "dim", 1)
    if power != 2 or current.ndim != 2 or dimension not in (1, -1):
        return None
    return UnitNorm(_argument(arguments, 3, "eps", 1e-12))


def _linear(arguments: dict[Any, Any], current: Tensor) -> nn.Module | None:
    return linear(_argument(arguments, 1, "weight"), _argument(arguments, 2, "bias"))


def _holding(module: Module, weight: Tensor | None, bias: Tensor | None = None) -> Module:
    """The module, given these very tensors, those that are there."""
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None:
            module.register_parameter(name, nn.Parameter(tensor.detach(), requires_grad=False))
    return module


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A Linear that holds these very tensors: weight (out, in), bias (out,)."""
    with torch.device("meta"):
        return _holding(nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None), weight, bias)


def _convolution(arguments: dict[Any, Any], current: Tensor) -> nn.Module | None:
    """A convolution of one position by a kernel of one position is a Linear."""
    weight, bias = _argument(arguments, 1, "weight"), _argument(arguments, 2, "bias")
    if tuple(current.shape[2:]) != (1, 1) or tuple(weight.shape[2:]) != (1, 1) or weight.shape[1] != current.shape[1]:
        return None
    return linear(weight.flatten(1), bias)


def _layer_norm(arguments: dict[Any, Any], current: Tensor) -> nn.Module | None:
    weight, bias = _argument(arguments, 2, "weight"), _argument(arguments, 3, "bias")
    width = current.flatten(1).shape[1]
    if tuple(_argument(arguments, 1, "normalized_shape"))[-1] != width:
        return None
    return _holding(nn.LayerNorm(width, eps=_argument(arguments, 4, "eps", 1e-5),
                                 elementwise_affine=weight is not None, bias=bias is not None), weight, bias)


def _batch_norm(arguments: dict[Any, Any], current: Tensor) -> nn.Module | None:
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    _, mean, variance, weight, bias, training, _, eps = (
        _argument(arguments, n, name) for n, name in enumerate(names))
    if training or mean is None or current.flatten(1).shape[1] != len(mean):
        return None
    module = nn.BatchNorm1d(len(mean), eps=1e-5 if eps is None else eps, affine=weight is not None)
    module.running_mean, module.running_var = mean.detach(), variance.detach()
    if weight is not None:
        _holding(module, weight, torch.zeros_like(weight) if bias is None else bias)
    return module.eval()
