"""Write the bundled backbone's ONNX graph, without its weights: those are read from the safetensors file.

    python assets/make/write_graph.py

Writes assets/efficientnet_lite0.onnx. Its weights have the names that they have in timm's model.
"""

from __future__ import annotations

from pathlib import Path

import onnx_ir
import onnx_ir.passes.common as passes
import torch
from onnxscript import optimizer

from explorer.networks.graphs import exported
from explorer.networks.loading.bundled import FeatureMaps, lite0

GRAPH = Path(__file__).resolve().parents[1] / "efficientnet_lite0.onnx"


def write() -> None:
    """Constants are folded; normalisations stay beside their convolutions, where ONNX Runtime merges them."""
    backbone = FeatureMaps(lite0()[0])
    model = exported(backbone, torch.randn(1, 3, 224, 224), optimize=False)
    passes.InlinePass()(model)
    optimizer.fold_constants(model)
    optimizer.remove_unused_nodes(model)
    known = backbone.state_dict()
    for thing in (model, model.graph, *model.graph, *model.graph.inputs, *model.graph.initializers.values(),
                  *(output for node in model.graph for output in node.outputs)):
        thing.metadata_props.clear()
    for name, value in model.graph.initializers.items():
        if name in known:
            tensor = value.const_value
            value.const_value = onnx_ir.ExternalTensor("efficientnet_lite0.safetensors", 0, tensor.nbytes, tensor.dtype,
                                                       shape=tensor.shape, name=name)
    GRAPH.write_bytes(onnx_ir.serde.serialize_model(model).SerializeToString())


if __name__ == "__main__":
    write()
