"""What a program from a file may compute, and the recorder that writes it down as a torch.fx graph.

Only operations of the list below are ever called, by torch's own dispatcher; each is first tried on tensors without
numbers (device "meta"), so that shapes are known and nothing large is made before the whole program was read.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from explorer.errors import NetworkError
from explorer.networks.loading.archive import shown

MOST_NODES = 30_000
MOST_VALUE = 2 << 30  # bytes of one tensor between two operations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ALLOWED = _names("""
    conv1d conv2d conv3d convolution conv_transpose2d linear addmm mm bmm baddbmm matmul einsum
    batch_norm layer_norm group_norm instance_norm rms_norm native_layer_norm native_group_norm
    _native_batch_norm_legit_no_training local_response_norm linalg_vector_norm norm normalize
    relu relu6 leaky_relu prelu elu selu celu gelu silu mish hardtanh hardswish hardsigmoid sigmoid tanh softplus
    softsign logsigmoid glu threshold tanhshrink softshrink hardshrink softmax _softmax log_softmax _log_softmax softmin
    max_pool2d max_pool2d_with_indices avg_pool2d adaptive_avg_pool2d _adaptive_avg_pool2d adaptive_max_pool2d lp_pool2d
    avg_pool1d max_pool1d adaptive_avg_pool1d adaptive_max_pool1d avg_pool3d max_pool3d
    dropout feature_dropout alpha_dropout feature_alpha_dropout native_dropout
    add sub rsub mul div true_divide floor_divide remainder fmod neg abs exp expm1 log log1p log2 log10 sqrt rsqrt
    square pow reciprocal sin cos tan atan erf floor ceil round trunc sign clamp clamp_min clamp_max clip minimum
    maximum addcmul addcdiv lerp where masked_fill eq ne lt le gt ge logical_not logical_and logical_or bitwise_not
    bitwise_and bitwise_or isnan isinf nan_to_num
    mean sum prod amax amin max min var std var_mean std_mean logsumexp cumsum argmax argmin topk sort argsort norm
    view _unsafe_view reshape flatten unflatten permute transpose swapaxes movedim t numpy_T squeeze unsqueeze expand
    expand_as view_as reshape_as repeat tile repeat_interleave contiguous clone detach alias narrow slice select index
    index_select gather take_along_dim cat concat concatenate stack split split_with_sizes chunk unbind flip roll
    pixel_shuffle pixel_unshuffle channel_shuffle pad constant_pad_nd reflection_pad2d replication_pad2d unfold im2col
    upsample_nearest2d upsample_bilinear2d upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa
    grid_sampler grid_sampler_2d affine_grid_generator
    scaled_dot_product_attention _scaled_dot_product_attention_math
    to _to_copy type_as float double half int long bool lift_fresh lift_fresh_copy
    zeros ones full arange linspace zeros_like ones_like full_like new_zeros new_ones new_full scalar_tensor
    fill copy meshgrid tril triu eye broadcast_to broadcast_tensors embedding one_hot numel
""")
FACTORIES = frozenset({"zeros", "ones", "full", "arange", "linspace", "scalar_tensor", "eye"})
# A result of these may share memory with what it was made from.
SHARING = _names("""view _unsafe_view reshape flatten unflatten permute transpose swapaxes movedim t numpy_T squeeze
    unsqueeze expand expand_as view_as reshape_as contiguous detach alias narrow slice select chunk split
    split_with_sizes unbind to type_as float double unfold broadcast_to getitem""")
_IDENTITY = frozenset({"dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "lift_fresh"})
_NUMBERS = {  # on sizes that depend on the input
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "floordiv": operator.floordiv,
    "mod": operator.mod, "neg": operator.neg, "truediv": operator.truediv,
}


class DoesNotFitError(Exception):
    """The program cannot take an input of the shape that was tried; the text is torch's own."""


class Recorder:
    """Writes operations into a torch.fx graph; every node's `meta["value"]` is its value without numbers.

    Args:
        shape: (B, C, h, w) of the input that shapes are worked out for.
        name: what to call the file in a sentence.
    """

    def __init__(self, shape: Sequence[int], name: str) -> None:
        self.graph, self.name = fx.Graph(), name
        self.tensors: dict[str, Tensor] = {}  # by the get_attr node's target
        self.size_was_asked = False  # whether a branch was decided by the input's size
        self._nodes: dict[int, fx.Node] = {}
        self.input = self.graph.placeholder("x")
        self.input.meta["value"] = torch.empty(tuple(shape), device="meta")

    def tensor(self, tensor: Tensor, label: str) -> fx.Node:
        """A node for a tensor of the file; the same tensor gives the same node."""
        if id(tensor) not in self._nodes:
            target = f"tensor_{len(self.tensors)}"
            self.tensors[target] = tensor
            node = self.graph.create_node("get_attr", target)
            node.meta["value"], node.meta["label"] = tensor.to("meta"), label
            self._nodes[id(tensor)] = node
        return self._nodes[id(tensor)]

    def call(self, operation: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Record an aten operation by its bare name. Several results come as a list or tuple of nodes.

        Raises:
            NetworkError: it is not one that a file may ask for, or trains, or makes something too large.
            DoesNotFitError: its shapes do not agree.
        """
        if operation == "_convolution":  # what a trace writes; not every torch tells its shapes
            operation, args = "convolution", args[:9]
        base = operation.removesuffix("_")
        packet = getattr(torch.ops.aten, operation, None) if base in ALLOWED else None
        if packet is None:
            raise NetworkError(f"{self.name} asks for the operation {shown(operation)}, which is not one of those "
                               "that PoolScope lets a file ask for.")
        self._refuse_training(base, args, kwargs)
        if operation.endswith("_") and _belongs_to_the_file(args[0] if args else None):
            raise NetworkError(f"{self.name} is a program that changes its own tensors ({operation}), so that its "
                               "answers would change from one photo to the next.")
        if base in _IDENTITY:
            return args[0]
        args, kwargs = self._with_nodes(args), self._with_nodes(dict(kwargs))
        return self.record(packet, args, kwargs, base in FACTORIES)

    def record(self, function: Callable, args: Any, kwargs: dict[str, Any], factory: bool = False) -> Any:
        """Record any function; the caller answers for its being harmless."""
        known, named = _valued(args), _valued(kwargs)
        if factory:
            named["device"] = torch.device("meta")
        try:
            with torch.no_grad():
                value = function(*known, **named)
        except (RuntimeError, IndexError, ValueError, TypeError, NotImplementedError, ArithmeticError) as error:
            raise DoesNotFitError(str(error).strip().partition("\n")[0]) from None
        self._refuse_large(value)
        if len(self.graph.nodes) > MOST_NODES:
            raise NetworkError(f"{self.name} is a program of more than {MOST_NODES:,} steps, which is more than a "
                               "network needs.")
        node = self.graph.call_function(function, tuple(args), kwargs)
        node.meta["value"] = value
        if isinstance(value, list | tuple):
            return type(value)(self.record(operator.getitem, (node, n), {}) for n in range(len(value)))
        return node

    def number(self, operation: str, args: Sequence[Any]) -> Any:
        """Arithmetic on sizes: recorded where one of them depends on the input, else worked out here."""
        function = _NUMBERS[operation]
        if any(isinstance(a, fx.Node) for a in args):
            return self.record(function, tuple(args), {})
        if operation != "add" and not all(isinstance(a, int | float) for a in args):
            raise TypeError  # a text times a billion
        found = function(*args)
        if (isinstance(found, int) and abs(found) >= 1 << 63) or (hasattr(found, "__len__") and len(found) > 1 << 20):
            raise OverflowError
        return found

    def _with_nodes(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.tensor(value, "constant")
        if isinstance(value, list | tuple):
            return type(value)(self._with_nodes(item) for item in value)
        if isinstance(value, dict):
            return {key: self._with_nodes(item) for key, item in value.items()}
        if value is None or isinstance(value, fx.Node | bool | int | float | str | torch.device | torch.dtype
                                       | torch.memory_format | torch.layout):
            return value
        raise NetworkError(f"{self.name} gives an operation something that is neither a tensor nor a number.")

    def _refuse_training(self, base: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        place = {"batch_norm": 5, "instance_norm": 5, "dropout": 2, "feature_dropout": 2, "alpha_dropout": 2,
                 "feature_alpha_dropout": 2, "native_dropout": 2}.get(base)
        if place is None or base == "instance_norm":
            return
        asked = args[place] if len(args) > place else kwargs.get("training", kwargs.get("train"))
        if asked:
            raise NetworkError(f"{self.name} is a program in training mode (its {base} is), whose answers change from "
                               "one time to the next; call model.eval() before it is saved.")

    def _refuse_large(self, value: Any) -> None:
        for tensor in value if isinstance(value, list | tuple) else (value,):
            if isinstance(tensor, Tensor) and tensor.numel() * tensor.itemsize > MOST_VALUE:
                raise NetworkError(f"{self.name} computes a tensor of {tensor.numel():,} numbers, which is more than "
                                   "PoolScope gives memory to.")


def operation_of(node: fx.Node) -> str:
    """The bare name of the operation that a node records, "" when it records none."""
    return getattr(node.target, "__name__", "") if node.op == "call_function" else ""


def _belongs_to_the_file(value: Any) -> bool:
    while isinstance(value, fx.Node) and operation_of(value) in SHARING:
        value = value.args[0]
    return isinstance(value, Tensor) or (isinstance(value, fx.Node) and value.op == "get_attr")


def _valued(value: Any) -> Any:
    """The same with each node's value in its place, and no device but meta."""
    if isinstance(value, fx.Node):
        return value.meta["value"]
    if isinstance(value, torch.device):
        return torch.device("meta")
    if isinstance(value, list | tuple):
        return type(value)(_valued(item) for item in value)
    return {key: _valued(item) for key, item in value.items()} if isinstance(value, dict) else value
