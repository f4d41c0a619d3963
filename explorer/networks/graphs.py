"""ONNX graphs of backbones: written by torch's exporter, or read from a file and given their weights."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import onnx
import torch
from torch import Tensor, nn

from explorer.errors import NetworkError
from explorer.networks.cutting.taps import first_line, own_copy

if TYPE_CHECKING:
    import onnx_ir

_EXPORTING = threading.Lock()  # the exporter sets switches of the whole process


def export(backbone: nn.Module, x: Tensor) -> bytes:
    """The backbone as an ONNX model in bytes, with its weights, for `explorer.networks.engine.Graph`.

    It is written for the size of `x`, and its input's height and width are then declared free: torch's own way to free
    them takes minutes. What it makes of another size must be compared with torch's maps: constants may be in it.

    Args:
        backbone: (B, channels, h, w) to feature maps (B, C, H, W); it is not changed.
        x: (1, channels, h, w), an input.

    Raises NetworkError where the exporter cannot follow the backbone.
    """
    import onnx_ir  # late: it takes 0.7 s, for what is seldom done

    model = exported(backbone, x)
    try:
        return onnx_ir.serde.serialize_model(model).SerializeToString()
    except Exception as error:  # a protocol buffer holds 2 GB
        raise NetworkError(f"The backbone's graph cannot be kept: {first_line(error)}.") from None


def with_weights(graph: bytes, state: Mapping[str, Tensor]) -> bytes:
    """A graph whose weights lie outside of it, with those of the same name in it.

    Args:
        graph: an ONNX model in bytes.
        state: tensors by the names that the graph has for them.

    Raises KeyError for a weight that is missing, ValueError for one of another shape.
    """
    model = onnx.ModelProto.FromString(graph)
    for weight in model.graph.initializer:
        if weight.data_location == onnx.TensorProto.EXTERNAL:
            tensor = state[weight.name]
            if tuple(tensor.shape) != tuple(weight.dims):
                raise ValueError(f"The weight {weight.name} has shape {tuple(tensor.shape)}.")
            weight.CopyFrom(onnx.numpy_helper.from_array(tensor.numpy(), weight.name))
    return model.SerializeToString()


def exported(backbone: nn.Module, x: Tensor, optimize: bool = True) -> onnx_ir.Model:
    """What `export` makes, before it is put into bytes; without `optimize` the weights are the backbone's own."""
    import onnx_ir

    log = logging.getLogger("torch.onnx")
    with _EXPORTING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level = log.level
        log.setLevel(logging.ERROR)
        try:
            program = torch.onnx.export(own_copy(backbone), (x,), dynamo=True, optimize=optimize, verbose=False,
                                        input_names=["x"], output_names=["maps"])
        except Exception as error:  # the exporter may fail in any way
            raise NetworkError(f"The backbone cannot be written as an ONNX graph: {first_line(error)}.") from None
        finally:
            log.setLevel(level)
    assert program is not None  # torch gives None for its older exporter alone
    model = program.model
    for node in model.graph:
        for output in node.outputs:
            output.shape = None  # known for one size alone
    (image,), (maps,) = model.graph.inputs, model.graph.outputs
    image.shape = onnx_ir.Shape([1, x.shape[1], "height", "width"])
    maps.shape = onnx_ir.Shape([1, "channels", "rows", "columns"])
    return model
