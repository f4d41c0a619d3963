"""Steps of an ONNX graph as torch modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from timm.layers import register_notrace_module
from torch import Tensor, fx, nn

from explorer.networks.cutting.head_chain import linear
from explorer.networks.loading.onnx_operators import OPERATORS


@dataclass
class Step:
    """One operator that depends on the image.

    Attributes:
        kind: key of OPERATORS.
        inputs: names of tensors that depend on the image; constants; None for one that is left out.
        attributes: as OPERATORS take them.
        outputs: names.
    """

    kind: str
    inputs: list[str | Tensor | None]
    attributes: dict[str, Any]
    outputs: list[str]

    @property
    def sources(self) -> list[str]:
        """The names among its inputs."""
        return [name for name in self.inputs if isinstance(name, str)]


@register_notrace_module
class Operation(nn.Module):
    """A step as a module that holds its constants.

    Attributes:
        kind: key of OPERATORS.
        output: name of its first output in the file.
    """

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.kind, self.attributes, self.output = step.kind, step.attributes, step.outputs[0]
        self.places = ["data" if isinstance(value, str) else "" if value is None else f"input{n}"
                       for n, value in enumerate(step.inputs)]
        for n, value in enumerate(step.inputs):
            if isinstance(value, Tensor) and value.is_floating_point():
                self.register_parameter(f"input{n}", nn.Parameter(value, requires_grad=False))
            elif isinstance(value, Tensor):
                self.register_buffer(f"input{n}", value)

    def forward(self, *data: Tensor) -> Any:
        row = iter(data)
        return OPERATORS[self.kind](*(next(row) if place == "data" else getattr(self, place) if place else None
                                      for place in self.places), **self.attributes)

    def extra_repr(self) -> str:
        return self.kind


def stage(steps: list[Step], source: str, begin: int) -> fx.GraphModule:
    """Steps in a row as one module of one input. The names in it are made here: torch.fx writes Python of them."""
    root, graph = nn.Module(), fx.Graph()
    root.nodes = nn.Module()
    values = {source: graph.placeholder("x")}
    for n, step in enumerate(steps, begin):
        name = f"{step.kind.lower()}_{n}"
        root.nodes.add_module(name, _as_linear(step) or Operation(step))
        made = graph.call_module(f"nodes.{name}", tuple(values[one] for one in step.sources))
        if step.kind == "Split":
            values |= {output: graph.call_function(getitem, (made, k)) for k, output in enumerate(step.outputs)}
        else:
            values[step.outputs[0]] = made
    graph.output(made)
    return fx.GraphModule(root, graph)


def getitem(parts: Sequence[Tensor], number: int) -> Tensor:
    """One of the outputs of an operator."""
    return parts[number]


def _as_linear(step: Step) -> nn.Linear | None:
    """A step that is torch's Linear as one, which others know better."""
    weight = step.inputs[1] if len(step.inputs) > 1 else None
    bias = step.inputs[2] if len(step.inputs) > 2 else None
    if isinstance(bias, str) or not isinstance(weight, Tensor) or weight.ndim != 2 or step.inputs[:1] != step.sources:
        return None
    plain = {"alpha": 1.0, "beta": 1.0, "transA": 0} | step.attributes
    if step.kind == "Gemm" and (plain["alpha"], plain["beta"], plain["transA"]) == (1, 1, 0):
        weight = weight if plain.get("transB") else weight.mT
        if bias is not None and bias.numel() != len(weight):
            return None
    elif step.kind == "Linear":
        weight = weight.mT
    else:
        return None
    module = linear(weight.contiguous(), None if bias is None else bias.reshape(-1))
    module.output = step.outputs[0]  # type: ignore[assignment]  # as an Operation has it
    return module
