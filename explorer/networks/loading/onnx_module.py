"""An ONNX graph as a torch module of stages: it can be cut, looked into, and asked for gradients like any other.

The graph is gone through once in shapes alone, for one input size, so that nothing large is made before its size is
known. What depends on no image (shapes, transposed weights) is computed then and there.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from explorer.errors import NetworkError
from explorer.networks.cutting.arrangement import arrangement_of
from explorer.networks.cutting.taps import first_line
from explorer.networks.loading.files import one_line
from explorer.networks.loading.onnx_operators import OPERATORS
from explorer.networks.loading.onnx_shapes import OF_ONE, of_any_batch
from explorer.networks.loading.onnx_stages import Step, stage
from explorer.wording import listed

MOST_NUMBERS = 100_000_000  # of one tensor: 400 MB
_OF_A_PIXEL = 256  # numbers of one tensor for each of the image's; a VGG makes 64, a ViT of patches of 8 px 150
_FEW = 2_000_000  # numbers that any tensor may have, and all constants together, however small the image and the file
_OF_A_WEIGHT = 8  # numbers of constants that are computed for each that is in the file
MOST_WORK = 1e12  # multiplications of one pass; a large ViT at 384 px has 2e11
_WORK_OF_A_NUMBER = 100  # what writing one number counts as
_SAME = ("Identity", "Dropout")
_MOST_STAGES = 12
_OF_ONE = OPERATORS | OF_ONE
_FLOATS = (torch.float16, torch.bfloat16, torch.float64)


class _Sizes(TorchDispatchMode):
    """Notes the most numbers of one tensor that torch makes in the block, on the way to a result too."""

    most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.most = max(self.most, *(tensor.numel() for tensor in tree_leaves(made) if isinstance(tensor, Tensor)), 0)
        return made


class Conversion:
    """A graph gone through, for an input of (1, channels, height, width).

    Args:
        model: from `onnx_file.read_onnx`.
        source, output: names of the graph's input and of the output to follow.
        shape: (channels, height, width).
        last: whether the graph wants its channels last.
        name: of the file, for sentences.

    Attributes:
        steps: what depends on the image and leads to the output.

    Raises NetworkError for an operator that is not known, or a tensor that is too large.
    """

    def __init__(
        self, model: onnx.ModelProto, source: str, output: str, shape: tuple[int, int, int], last: bool, name: str
    ) -> None:
        self.name, self._work = name, 0.0
        self._source, self._output, self._size = source, output, shape[1:]
        self._flat = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")) < 13
        self._unknown = sorted({node.op_type for node in model.graph.node}
                               - OPERATORS.keys() - {*_SAME, "Constant", "Shape", "Size"} | (
                                   {"Linear"} & {node.op_type for node in model.graph.node}))
        if self._unknown:
            raise NetworkError(f"{name} uses ONNX's {listed(list(map(one_line, self._unknown[:4])))}, which PoolScope "
                               "cannot follow; expected the operators of an image classifier in float32.")
        self._known: dict[str, Tensor] = {}  # what depends on no image
        self._shapes: dict[str, Tensor] = {}  # what does, on torch's "meta" device: a shape and no numbers
        self._alias: dict[str, str] = {}
        self._by_output: dict[str, Step] = {}
        for initializer in model.graph.initializer:
            self._known[initializer.name] = self._constant(initializer)
        self._most = min(MOST_NUMBERS, max(_FEW, _OF_A_PIXEL * math.prod(self._size)))
        self._left = max(_FEW, _OF_A_WEIGHT * sum(weight.numel() for weight in self._known.values()))
        image = torch.empty(1, *shape, device="meta")
        self._shapes[source] = image.permute(0, 2, 3, 1) if last else image
        for node in model.graph.node:
            self._add(node)
        if output not in self._alias and output not in self._shapes:
            raise NetworkError(f"The output {one_line(output)} of {name} does not depend on its input; expected the "
                               "logits of an image classifier.")
        self._output = self._alias.get(output, output)
        self.steps = self._leading_to(self._output)

    def _constant(self, tensor: onnx.TensorProto) -> Tensor:
        if math.prod(tensor.dims) > 4 * MOST_NUMBERS:
            raise NetworkError(f"{self.name} claims a weight of {math.prod(tensor.dims):,} numbers.")
        try:
            value = torch.from_numpy(numpy_helper.to_array(tensor).copy())
        except Exception as error:  # a kind of number that numpy or torch has not, or fewer bytes than claimed
            raise NetworkError(f"{self.name} has a tensor {one_line(tensor.name)} that cannot be read: "
                               f"{one_line(first_line(error))}.") from None
        if value.dtype in _FLOATS:
            return value.float()
        return value.long() if value.dtype == torch.int32 else value

    def _add(self, node: onnx.NodeProto) -> None:
        attributes = self._attributes(node)
        inputs = [self._alias.get(name, name) for name in node.input]
        if node.op_type == "Constant":
            (value,) = attributes.values()
            self._known[node.output[0]] = value if isinstance(value, Tensor) else torch.tensor(value)
            return
        if node.op_type in _SAME or (node.op_type == "Cast" and inputs[0] in self._shapes and self._keeps(attributes)):
            self._alias_or_known(node.output[0], inputs[0])
            return
        if node.op_type == "Gather" and (unchanged := self._all_in_order(inputs, attributes)):
            self._alias[node.output[0]] = unchanged
            return
        if node.op_type in ("Shape", "Size"):
            shape = list(self._value(inputs[0]).shape)[attributes.get("start", 0) : attributes.get("end")]
            self._known[node.output[0]] = torch.tensor(shape if node.op_type == "Shape" else math.prod(shape))
            return
        if node.op_type == "Split":
            attributes["outputs"] = len(node.output)
        if node.op_type in ("Softmax", "LogSoftmax") and self._flat:
            attributes = {"axis": attributes.get("axis", 1), "flat": True}
        values = [self._value(name) if name else None for name in inputs]
        depends = any(name in self._shapes for name in inputs)
        claimed = self._claimed(node, values, attributes)
        if depends:
            step = Step(node.op_type, [name if name in self._shapes else value
                                       for name, value in zip(inputs, values, strict=True)], attributes,
                        [name or f"{node.output[0]} {n}" for n, name in enumerate(node.output)])
            held = of_any_batch(step.kind, values, claimed[0], attributes)
            step.inputs = [name if isinstance(name, str) else value
                           for name, value in zip(step.inputs, held, strict=True)]
            step = self._fused(step)
            self._by_output |= dict.fromkeys(step.outputs, step)
            self._shapes |= dict(zip(step.outputs, claimed, strict=False))
        else:
            self._left -= sum(tensor.numel() for tensor in claimed)
            if self._left < 0:
                raise NetworkError(f"{self.name} computes far more numbers of its constants than it has weights; "
                                   "expected a network of images. Export it again with torch.onnx.export(..., "
                                   "dynamo=True), which computes them once.")
            try:
                made = _OF_ONE[node.op_type](*values, **attributes)
            except Exception as error:  # shapes fit and numbers do not: places beyond the end
                raise self._not_followed(node, error) from None
            self._known |= zip(node.output, made if isinstance(made, tuple) else (made,), strict=False)

    def _keeps(self, attributes: Mapping[str, Any]) -> bool:
        """Whether a cast of what depends on the image is to a kind of real number, which is float32 here."""
        return attributes["to"] in (1, 10, 11, 16)

    def _all_in_order(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str | None:
        """The tensor that is made a row, and of whose row all numbers are picked in order: so torch's as_strided."""
        row, places = self._by_output.get(inputs[0]), self._known.get(inputs[1])
        if row is None or row.kind != "Reshape" or not isinstance(row.inputs[0], str) or places is None:
            return None
        before = self._shapes[row.inputs[0]]
        is_whole = self._shapes[inputs[0]].ndim == 1 and places.shape == before.shape and not attributes.get("axis")
        in_order = is_whole and torch.equal(places.reshape(-1), torch.arange(before.numel()))
        return row.inputs[0] if in_order else None

    def _alias_or_known(self, output: str, source: str) -> None:
        if source in self._known:
            self._known[output] = self._known[source]
        else:
            self._alias[output] = source

    def _value(self, name: str) -> Tensor:
        value = self._known.get(name, self._shapes.get(name))
        if value is None:
            raise NetworkError(f"{self.name} uses the tensor {one_line(name)}, which nothing in it makes.")
        return value

    def _attributes(self, node: onnx.NodeProto) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for attribute in node.attribute:
            value = onnx.helper.get_attribute_value(attribute)
            if isinstance(value, onnx.TensorProto):
                value = self._constant(value)
            made[attribute.name] = value.decode(errors="replace") if isinstance(value, bytes) else (
                list(value) if not isinstance(value, int | float | Tensor) else value)
        return made

    def _claimed(self, node: onnx.NodeProto, values: Sequence[Tensor | None], attributes: dict[str, Any]
                 ) -> tuple[Tensor, ...]:
        """What an operator will make, in shapes alone; NetworkError where that is too large or not known."""
        problem: Exception | None = None
        is_constant = all(value is None or not value.is_meta for value in values)
        run = (_OF_ONE if is_constant or node.op_type == "Reshape" else OPERATORS)[node.op_type]
        # Some inputs are numbers that a shape hangs on. First the whole ones are real, then none is, then all are: but
        # for an operator that makes a tensor from nothing, one of the ways before the last is taken.
        for is_real in (lambda n, value: n and value.dtype == torch.int64, lambda n, value: False,
                        lambda n, value: value.numel() < 1000):
            trial = [value if value is None or is_real(n, value) else value.to("meta")
                     for n, value in enumerate(values)]
            last = not any(value is not None and value.is_meta for value in trial)
            try:
                with torch.device("meta") if last else nullcontext(), torch.no_grad(), _Sizes() as sizes:
                    made = run(*trial, **attributes)
                break
            except Exception as error:  # torch refuses shapes in many ways, and attributes may be unknown
                problem = problem or error
        else:
            raise self._not_followed(node, problem or ValueError())
        claimed = made if isinstance(made, tuple) else (made,)
        numbers = max(sizes.most, sum(tensor.numel() for tensor in claimed))
        weight = values[1] if node.op_type in ("Conv", "ConvTranspose", "MatMul", "Gemm") else None
        inner = (1 if weight is None else weight[0].numel() if node.op_type.startswith("Conv")
                 else weight.shape[max(-2, -weight.ndim)])  # a MatMul may take a vector
        self._work += numbers * max(inner, _WORK_OF_A_NUMBER)
        most = max([self._most, *(value.numel() for value in values if value is not None)])  # a weight may be turned
        if numbers > most or self._work > MOST_WORK:
            raise NetworkError(f"{self.name} makes a tensor of {numbers:,} numbers of one image of {self._size[1]} x "
                               f"{self._size[0]} px, or takes too long for it; expected at most {most:,}.")
        return claimed

    def _not_followed(self, node: onnx.NodeProto, error: Exception) -> NetworkError:
        return NetworkError(f"{self.name} uses ONNX's {one_line(node.op_type)} in a way that PoolScope cannot follow "
                            f"({one_line(first_line(error))}).")

    def _fused(self, step: Step) -> Step:
        """A step together with the ones before it, where they are one layer spelled out: Linear, LayerNorm."""
        if len(step.sources) != 1 and step.kind != "Div":
            return step
        before = self._by_output.get(step.sources[0])
        other = next((value for value in step.inputs if isinstance(value, Tensor)), None)
        if step.kind == "MatMul" and isinstance(step.inputs[0], str) and other is not None and other.ndim == 2:
            return Step("Linear", [step.inputs[0], other], {}, step.outputs)
        if step.kind == "Div" and len(step.sources) == 2:
            return self._layer_norm(step) or step
        if before is None or other is None or other.ndim > 1 or other.numel() != self._value(step.sources[0]).shape[-1]:
            return step
        if step.kind == "Add" and before.kind == "Linear" and len(before.inputs) == 2:
            return Step("Linear", [*before.inputs, other], {}, step.outputs)
        if before.kind == "LayerNormalization" and before.attributes.get("axis", -1) == -1:
            if step.kind == "Mul" and len(before.inputs) == 1:
                return Step(before.kind, [*before.inputs, other], before.attributes, step.outputs)
            if step.kind == "Add" and len(before.inputs) == 2:
                return Step(before.kind, [*before.inputs, other], before.attributes, step.outputs)
        return step

    def _layer_norm(self, step: Step) -> Step | None:
        """(x - mean) / sqrt(mean((x - mean)²) + epsilon), as opsets before 17 write it."""
        def made_by(name: Any, *kinds: str) -> Step | None:
            maker = self._by_output.get(name) if isinstance(name, str) else None
            return maker if maker is not None and maker.kind in kinds else None

        centred, root = made_by(step.inputs[0], "Sub"), made_by(step.inputs[1], "Sqrt")
        shifted = made_by(root.inputs[0], "Add") if root else None
        variance = made_by(shifted.inputs[0], "ReduceMean") if shifted else None
        square = made_by(variance.inputs[0], "Pow", "Mul") if variance else None
        if not (centred and shifted and variance and square and isinstance(epsilon := shifted.inputs[1], Tensor)):
            return None
        mean = made_by(centred.inputs[1], "ReduceMean")
        x = centred.inputs[0]
        is_square = square.inputs[0] == step.inputs[0] and (
            square.inputs[1] == square.inputs[0] if square.kind == "Mul"
            else isinstance(square.inputs[1], Tensor) and square.inputs[1].tolist() in (2, [2]))
        if mean is None or mean.inputs[0] != x or not is_square or epsilon.numel() != 1 or not isinstance(x, str):
            return None
        axes = [reduced.inputs[1] if len(reduced.inputs) > 1 else reduced.attributes.get("axes")
                for reduced in (mean, variance)]
        if any([int(n) % self._shapes[x].ndim for n in (given if given is not None else [])]
               != [self._shapes[x].ndim - 1] for given in axes):
            return None
        return Step("LayerNormalization", [x], {"epsilon": epsilon.item()}, step.outputs)

    def _leading_to(self, output: str) -> list[Step]:
        needed, steps = {output}, []
        for step in reversed(list({id(step): step for step in self._by_output.values()}.values())):
            if needed & set(step.outputs):
                needed |= set(step.sources)
                steps.append(step)
        return steps[::-1]

    def module(self) -> nn.Sequential:
        """(B, channels, height, width) to the output: stages that end where a resolution does, and the head."""
        image = f"{self._source} as torch has it"
        steps = self.steps
        if self._shapes[self._source].shape[1:3] == self._size and not self._shapes[self._source].is_contiguous():
            first = Step("Transpose", [image], {"perm": [0, 2, 3, 1]}, [self._source])
            steps = [first, *steps]
        else:
            image = self._source
        ends = self._ends(steps)
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        begin, source = 0, image
        for number, end in enumerate(ends, 1):
            stages[f"stage{number}"] = stage(steps[begin : end + 1], source, begin)
            begin, source = end + 1, steps[end].outputs[0]
        if begin < len(steps):
            stages["head"] = stage(steps[begin:], source, begin)
        return nn.Sequential(stages)

    def _ends(self, steps: list[Step]) -> list[int]:
        """Steps after which all depends on their maps alone, and the maps are the last of their resolution.

        A network of one resolution, such as a transformer, has up to twelve of them, evenly spread.
        """
        necks = []
        for n in _necks(steps):
            maps = self._shapes[steps[n].outputs[0]]
            arrangement = arrangement_of(maps, self._size)
            if arrangement is not None and (grid := arrangement.maps(maps, self._size).shape[2:]).numel() > 1:
                necks.append((n, grid, arrangement.maps(maps, self._size).shape))
        last_of = {grid: n for n, grid, _ in necks}
        alike = [n for n, _, shape in necks if shape == necks[-1][2]]
        if len(last_of) > 2 or len(alike) < 4:  # an activation after its convolution makes no network of one resolution
            return sorted(last_of.values())
        spread = {alike[-1 - k * len(alike) // _MOST_STAGES] for k in range(_MOST_STAGES)} \
            if len(alike) > _MOST_STAGES else set(alike)
        return sorted({*last_of.values(), *spread})


def _necks(steps: list[Step]) -> Iterator[int]:
    """Steps on whose first output, alone, all later ones depend."""
    last_use: dict[str, int] = {}
    for n, step in enumerate(steps):
        last_use |= dict.fromkeys(step.sources, n)
    open_until = max((last_use[name] for name in steps[0].sources), default=-1) if steps else -1
    for n, step in enumerate(steps[:-1]):
        uses = [last_use.get(name, -1) for name in step.outputs]
        if open_until <= n and uses[0] > n and all(use <= n for use in uses[1:]):
            yield n
        open_until = max(open_until, *uses)
