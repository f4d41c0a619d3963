"""What each position writes directly into a class token: one pass of a model, followed operation by operation.

A block adds to its first token what its attention reads from every token: softmax weight times value, through the
attention's projection. Attention held, that is a sum over tokens, and the class token at the end is the sum of all such
writes and of what is no position's: the token it began with, biases, and what its MLPs made of it (Gandelsman, Efros
and Steinhardt, Interpreting CLIP's Image Representation via Text-Based Decomposition, ICLR 2024, arXiv:2310.05916).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from explorer.networks.cutting.arrangement import grid_of
from explorer.networks.cutting.head_chain import Step, Tape, follow
from explorer.networks.cutting.taps import tensor_of
from explorer.networks.cutting.torch_attention import arguments_of, projected

_PREFIXES = (0, 1, 2, 3, 5, 9)  # tokens before the positions: none, a class token, distillation, registers
_ADDING = {"add", "__add__", "__radd__", "__iadd__"}
_MULTIPLYING = {"mul", "__mul__", "__rmul__", "__imul__", "multiply"}
_PRODUCTS = ("matmul", "__matmul__", "bmm")
_COPYING = {
    "transpose", "permute", "reshape", "view", "flatten", "unflatten", "contiguous", "clone", "getitem", "__getitem__",
    "select", "narrow", "cat", "concat", "split", "chunk", "unbind", "squeeze", "unsqueeze", "expand", "dropout",
    "identity", "to", "float", "type_as", "detach", "swapaxes", "movedim",
}


@dataclass(frozen=True)
class _Writes:
    """What `count` tokens wrote into the first row of a tensor, computed where it is needed: rows (count, C)."""

    count: int
    rows: Callable[[], Tensor]

    def then(self, change: Callable[[Tensor], Tensor]) -> _Writes:
        return _Writes(self.count, lambda: change(self.rows()))

    def beside(self, other: _Writes | None) -> _Writes:
        """Both together; where the grid has changed between them, those of the later grid, which is the coarser."""
        if other is None:
            return self
        if self.count != other.count:
            return min(self, other, key=lambda one: one.count)
        return _Writes(self.count, lambda: self.rows() + other.rows())


class Follower(TorchFunctionMode):
    """Follows, in its own thread, what tokens write into the first row of the tensors of one pass of one input.

    A tensor's writes go through whatever treats each row alone and linearly (a Linear, a layer scale, a normalisation
    with the statistics of the first row held) and through sums; anything else ends them, so that what an MLP or a later
    attention makes of them is not counted as direct.

    Attributes:
        last: the last sum of two tensors in the pass that holds writes: the class token at the end is its first row.
    """

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.last: Tensor | None = None
        x._depends = True  # type: ignore[attr-defined]

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        sources = [one for one in _flat((*args, *named.values())) if isinstance(one, Tensor)]
        depends = any(_depends(source) for source in sources)
        before = [_writes(source) for source in sources]  # an operation in place gives the tensor it was given
        output = function(*args, **named)
        outputs = [one for one in _flat((output,)) if isinstance(one, Tensor)]
        for one in outputs:
            one._depends, one._writes = depends, None  # type: ignore[attr-defined]
        if depends and outputs:
            name = getattr(function, "__name__", "").partition(".")[0]
            name = name if name.startswith("__") else name.rstrip("_")
            self._note(name, args, named, sources, before, outputs)
        return output

    def _note(
        self, name: str, args: tuple, named: dict[str, Any], sources: list[Tensor], before: list[_Writes | None],
        outputs: list[Tensor],
    ) -> None:
        output, writes = outputs[0], next((one for one in before if one is not None), None)
        if name == "scaled_dot_product_attention":
            _attend(output, _attention(*args[:3], **named), args[2])
        elif name in _PRODUCTS and len(sources) == 2 and hasattr(sources[1], "_read"):
            keys, values = sources[1]._read  # factorised attention: queries @ (softmax of keys @ values), linear too
            _attend(output, (sources[0][0, :, :1] @ keys[0])[:, 0], values)
        elif name in _PRODUCTS and len(sources) == 2 and _is_attention(*sources):
            _attend(output, sources[0][0, :, 0], sources[1])
            output._read = tuple(sources)  # type: ignore[attr-defined]
        elif name == "multi_head_attention_forward":
            _set(output, _of_torch(args, named))
        elif name in _ADDING and output.ndim == 4 and (attended := [
                one._attended for one in sources if hasattr(one, "_attended")]):
            _keep(output, attended[0][1])  # MViT adds its queries to what it attended to
        elif name in _MULTIPLYING and len(sources) == 1 and output.ndim == 4 and hasattr(sources[0], "_attended"):
            _keep(output, sources[0]._attended[1] * next(one for one in args if one is not sources[0]))
        elif name in _COPYING:
            for one in outputs:
                _copy(sources[0], before[0], one)
        elif writes is None:
            return
        elif name in _ADDING and len(sources) <= 2 and "alpha" not in named:
            _set(output, writes if len(before) < 2 or before[0] is None else before[0].beside(before[1]))
            if len(sources) == 2 and all(map(_depends, sources)):
                self.last = output
        elif change := _row_by_row(name, args, named, output):
            _set(output, writes.then(change))


def _flat(values: tuple) -> list[Any]:
    return [one for value in values for one in (_flat(tuple(value)) if isinstance(value, (tuple, list)) else [value])]


def _depends(tensor: Any) -> bool:
    """Whether a tensor depends on the input, and is no weight."""
    return getattr(tensor, "_depends", False)


def _writes(tensor: Tensor) -> _Writes | None:
    return getattr(tensor, "_writes", None)


def _set(tensor: Tensor, writes: _Writes | None) -> None:
    tensor._writes = writes  # type: ignore[attr-defined]


def first_row(tensor: Tensor) -> Tensor:
    """(C,) of (1, tokens, C), (tokens, 1, C) or (1, C)."""
    return tensor[(0,) * (tensor.ndim - 1)]


def _attention(query: Tensor, key: Tensor, _: Tensor, attn_mask: Tensor | None = None, **named: Any) -> Tensor | None:
    """(heads, tokens): the first query's weights; None for what is not the attention of one input, or is causal."""
    if query.ndim != 4 or len(query) != 1 or key.shape[1] != query.shape[1] or named.get("is_causal"):
        return None
    scale = named.get("scale") or query.shape[-1] ** -0.5
    scores = (key[0] @ query[0, :, 0, :, None] * scale)[..., 0]
    if attn_mask is not None:  # what is added to the scores, such as a bias of relative positions, or where to look
        first = attn_mask.broadcast_to(*query.shape[:3], key.shape[2])[0, :, 0]
        scores = scores.masked_fill(~first, -torch.inf) if first.dtype == torch.bool else scores + first
    return scores.softmax(-1)


def _is_attention(one: Tensor, values: Tensor) -> bool:
    """Whether a product is one of softmax weights (1, heads, queries, tokens) with values (1, heads, tokens, D)."""
    if one.ndim != 4 or values.ndim != 4 or len(one) != 1 or one.shape[1] != values.shape[1]:
        return False
    return bool((one >= 0).all()) and torch.allclose(one.sum(-1), one.new_ones(()), atol=1e-3)


def _attend(output: Tensor, weights: Tensor | None, value: Tensor) -> None:
    """Keep beside an attention's output (1, heads, queries, D) what each token wrote: (tokens, heads * D)."""
    if weights is not None and output.ndim == 4:
        wrote = (weights[..., None] * value[0]).transpose(0, 1).flatten(1)
        _keep(output, wrote)


def _keep(output: Tensor, wrote: Tensor) -> None:
    """Beside an attention's output, joined over its heads."""
    output._attended = (output.transpose(1, 2).flatten(2), wrote)  # type: ignore[attr-defined]


def _of_torch(args: tuple, named: dict[str, Any]) -> _Writes | None:
    """Of torch's own attention, which takes (tokens, 1, C) and projects before and after."""
    given = arguments_of(args, named)
    masked = any(given[name] is not None for name in ("attn_mask", "bias_k", "bias_v", "key_padding_mask"))
    if given["query"].ndim != 3 or masked:
        return None
    query, key, value = projected(args, named)
    weights = _attention(query, key, value)
    if weights is None:
        return None
    wrote = (weights[..., None] * value[0]).transpose(0, 1).flatten(1)
    return _Writes(len(wrote), lambda: wrote @ given["out_proj_weight"].T)


def _copy(source: Tensor, writes: _Writes | None, output: Tensor) -> None:
    """Hand writes on to a rearrangement that keeps the first row the first."""
    attended = getattr(source, "_attended", None)
    if attended is not None:
        joined, wrote = attended
        if output.shape == joined.shape and torch.equal(first_row(output), first_row(joined)):
            _set(output, _Writes(len(wrote), lambda: wrote))
        else:
            output._attended = attended  # type: ignore[attr-defined]
    elif writes is not None and output.ndim in (2, 3) and output.shape[-1] == source.shape[-1] and torch.equal(
            first_row(output), first_row(source)):
        _set(output, writes)


def _row_by_row(name: str, args: tuple, named: dict[str, Any], output: Tensor) -> Callable[[Tensor], Tensor] | None:
    """What an operation on (1, tokens, C) does to what was written into the first row; None if that is not linear."""
    source: Any = args[0]
    second: Any = args[1] if len(args) > 1 else named.get("weight", named.get("other"))
    if _depends(second) and name in ("linear", "matmul", "__matmul__"):
        return None
    if name == "linear":
        return lambda rows: rows @ second.T
    if name in ("matmul", "__matmul__") and second.ndim == 2:
        return lambda rows: rows @ second
    if name in _MULTIPLYING and not (_depends(source) and _depends(second)):
        factor = second if _depends(source) else source
        if not isinstance(factor, Tensor):
            return lambda rows: rows * factor
        if factor.numel() in (1, output.shape[-1]):
            return lambda rows: rows * factor.flatten()
    if name in ("layer_norm", "rms_norm"):
        return _held_norm(name, args, named)
    return None


def _held_norm(name: str, args: tuple, named: dict[str, Any]) -> Callable[[Tensor], Tensor] | None:
    """A normalisation of rows, the first row's statistics held."""
    given = dict(zip(("input", "normalized_shape", "weight", "bias", "eps") if name == "layer_norm" else
                     ("input", "normalized_shape", "weight", "eps"), args, strict=False)) | named
    row, weight = first_row(given["input"]), given.get("weight")
    if tuple(given["normalized_shape"]) != row.shape:
        return None
    centred = name == "layer_norm"
    eps = given.get("eps") or (1e-5 if centred else torch.finfo(row.dtype).eps)
    spread = row.var(unbiased=False) if centred else row.square().mean()
    scale = (1 if weight is None else weight) / math.sqrt(float(spread) + eps)
    return lambda rows: (rows - rows.mean(1, keepdim=True) if centred else rows) * scale


class DirectWrites(nn.Module):
    """An input (B, channels, h, w) to what its positions wrote directly into the class token: maps (B, 2 C, H, W).

    The first C are the writes, times the number of positions: their average is the sum of the writes. The other C are
    the same at each position: what else the class token is made of.

    Args:
        model: an `own_copy`.
        centred: whether a LayerNorm follows, to which a vector's mean is nothing: it is then taken from each write, so
            that none of it counts as evidence.
    """

    def __init__(self, model: nn.Module, centred: bool) -> None:
        super().__init__()
        self.model = model
        self.centred = centred

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self._of_one(one[None]) for one in x])

    def _of_one(self, x: Tensor) -> Tensor:
        x = x.clone()
        with Follower(x) as follower:
            self.model(x)
        if follower.last is None:
            raise ValueError("no attention writes into a class token")
        token, rows = first_row(follower.last), _writes(follower.last).rows()  # type: ignore[union-attr]
        for prefix in _PREFIXES:
            try:
                grid = grid_of(len(rows) - prefix, x.shape[-2:])
            except ValueError:
                continue
            wrote = rows[prefix:]
            rest = (token - wrote.sum(0)).expand_as(wrote)
            parts = [part - part.mean(1, keepdim=True) if self.centred else part for part in (wrote * len(wrote), rest)]
            return torch.cat(parts, 1).T.unflatten(1, grid)[None]
        raise ValueError(f"{len(rows)} tokens fill no grid of the input's aspect")


def head_of_token(model: nn.Module, x: Tensor) -> nn.Sequential | None:
    """From the class token (B, C) to the logits, as a chain of plain modules; None where it is no such chain."""
    x = x.clone()
    with torch.no_grad(), Follower(x) as follower, Tape() as tape:
        answer = model(x)
    start, logits = follower.last, tensor_of(answer)
    if start is None:
        return None
    begin = max(n for n, step in enumerate(tape.steps) if step.output is start)
    rows, steps = {id(start): first_row(start)[None]}, []
    for step in tape.steps[begin + 1:]:
        listed = bool(step.arguments) and isinstance(step.arguments[0], (tuple, list))
        source = step.arguments[0][0] if listed else step.arguments[0] if step.arguments else step.named.get("input")
        if id(source) not in rows or not 2 <= step.output.ndim <= 3:
            continue
        row = rows.setdefault(id(step.output), first_row(step.output)[None])
        name = "identity" if listed else step.name
        steps.append(Step(name, (rows[id(source)], *step.arguments[1:]), step.named, row))
    return follow(steps, rows[id(start)], rows[id(logits)]) if id(logits) in rows else None
