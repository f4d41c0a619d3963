"""A network from an ONNX file: cut like any other, its backbone run by ONNX Runtime from the file's own graph."""

from __future__ import annotations

import ast
import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper, numpy_helper
from torch import Tensor, fx, nn

from explorer.checks import checked_key
from explorer.errors import NetworkError, ParameterError
from explorer.framing import LARGEST_OWN, Preprocessing
from explorer.networks.cutting.arrangement import Backbone
from explorer.networks.cutting.taps import UpTo, first_line
from explorer.networks.engine import Engine, Graph, session_options
from explorer.networks.loading.class_names import read_class_names
from explorer.networks.loading.files import one_line
from explorer.networks.loading.onnx_file import read_onnx
from explorer.networks.loading.onnx_module import Conversion
from explorer.networks.network import Network
from explorer.networks.probing import example_input
from explorer.wording import listed

_CLOSE, _CLOSE_IN_HALF = 1e-4, 3e-2  # of the largest logit: how far torch may be from ONNX Runtime
_REAL = {1: np.float32, 10: np.float16, 11: np.float64, 2: np.uint8}
# Operators whose work is the same at each position, whatever the size: with these alone a size is no part of a file.
_LOCAL = frozenset({
    "Conv", "BatchNormalization", "Relu", "LeakyRelu", "PRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Elu",
    "Selu", "Gelu", "Erf", "Tanh", "Mish", "Softplus", "Swish", "Add", "Sub", "Mul", "Div", "Sum", "Max", "Min",
    "Concat",
    "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax", "Flatten", "Reshape",
    "Squeeze", "Unsqueeze", "Gemm", "MatMul", "Linear", "Softmax", "LogSoftmax", "Identity", "Dropout", "Transpose",
    "LRN", "Pad", "Split", "Cast", "LayerNormalization", "Pow", "Sqrt", "DequantizeLinear",
})


def look_into_onnx(content: bytes, title: str) -> tuple[list[str], Preprocessing, list[str]]:
    """What stands in a file, before it is loaded: outputs, what its input is taken to be, sentences."""
    model = read_onnx(content, title)
    image, outputs = _image(model, title), _outputs(model, title)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    preprocessing, assumed = _assumed(image, metadata, model)
    names = _names(metadata)
    named = f" It names {len(names):,} classes." if names else ""
    return outputs, _sized(preprocessing, image, title), [
        f"A whole network, which needs no architecture: {_origin(model)}.{named}", assumed]


class Image(NamedTuple):
    """The input of a graph: its name, kind of number, channels, (height, width) or 0 where free, channels last."""

    name: str
    kind: int
    channels: int
    size: tuple[int, int]
    last: bool


def onnx_network(
    content: bytes, title: str, folder: Path | None = None, class_names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None, activation: str | None = None, layer: str | None = None,
    chosen: str | None = None,
) -> Network:
    """The network in the bytes of an ONNX file from a folder; see `load_network`. Its `cautions` say what was assumed.

    Raises NetworkError when it is not a classifier of images that PoolScope can follow.
    """
    model = read_onnx(content, title, folder)
    image, (output, *others) = _image(model, title), _outputs(model, title, chosen)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    cautions = [f"The file has {len(others) + 1} outputs; the logits are read from {one_line(output)}, not from "
                f"{listed(list(map(one_line, others)))}."] if others and chosen is None else []
    if preprocessing is None:
        preprocessing, assumed = _assumed(image, metadata, model)
        cautions.append(assumed)
    preprocessing = _sized(preprocessing, image, title)
    conversion = Conversion(model, image.name, output, (image.channels, preprocessing.size, preprocessing.size),
                            image.last, title)
    module = conversion.module().eval()
    _check_same(model, module, image, output, example_input(preprocessing), title)
    if image.size[0] and not {step.kind for step in conversion.steps} <= _LOCAL:
        preprocessing = replace(preprocessing, fixed=True)
    end = conversion.steps[-1].kind
    if end in ("Softmax", "LogSoftmax", "Sigmoid") and activation != "none":
        cautions.append(f"The file ends in a {end.lower()}; the logits are what stands before it.")
    made = partial(Network.from_module, module, preprocessing, name="file", title=title, origin=_origin(model),
                   layer=layer, digest=_digest(content, model), activation=activation, cautions=tuple(cautions))
    own_names = _names(metadata)
    try:
        network = made(class_names or own_names)
    except ParameterError:
        if class_names is not None or own_names is None:
            raise
        network = made(None)  # names in a file that do not fit are none
    graph = _backbone_graph(network.backbone, model, image)
    return replace(network, engine=Engine(network.backbone, graph=graph)) if graph else network


def _image(model: onnx.ModelProto, title: str) -> Image:
    weights = {initializer.name for initializer in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise NetworkError(f"{title} has {len(inputs)} inputs ({listed([one_line(one.name) for one in inputs[:4]])}); "
                           "expected one, a photo.")
    tensor = inputs[0].type.tensor_type
    lengths = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in tensor.shape.dim]
    if len(lengths) != 4 or tensor.elem_type not in _REAL:
        raise NetworkError(f"The input of {title} has {len(lengths)} dimensions or other numbers than real ones; "
                           "expected a photo as (batch, channels, height, width).")
    if lengths[0] > 1:
        raise NetworkError(f"{title} takes {lengths[0]} photos at once; expected one, or a free number: export it with "
                           "a batch of one.")
    last = lengths[3] in (1, 3) and lengths[1] not in (1, 3)
    channels = lengths[3] if last else lengths[1] or 3
    height, width = lengths[1:3] if last else lengths[2:4]
    if channels not in (1, 3):
        raise NetworkError(f"{title} takes images of {channels} channels (bands); expected 3, or 1 for grey images.")
    if (height or width) and height != width:
        raise NetworkError(f"{title} takes inputs of {width or 'any'} x {height or 'any'} px; expected a square.")
    if height > LARGEST_OWN:
        raise NetworkError(f"{title} takes inputs of {width} x {height} px; expected at most {LARGEST_OWN} px.")
    return Image(inputs[0].name, tensor.elem_type, channels, (height, width), last)


def _outputs(model: onnx.ModelProto, title: str, chosen: str | None = None) -> list[str]:
    """The names of the outputs: the chosen one, else the first that is (batch, classes), and then the others."""
    outputs = [value for value in model.graph.output if value.type.tensor_type.elem_type in _REAL]
    flat = [value for value in outputs if len(value.type.tensor_type.shape.dim) == 2] or outputs
    if not flat:
        raise NetworkError(f"{title} gives no real numbers; expected logits, one a class: export the network without "
                           "the choice of the largest at its end.")
    names = [value.name for value in model.graph.output]
    first = checked_key(chosen, names, "output") if chosen is not None else flat[0].name
    return [first, *(name for name in names if name != first)]


def _assumed(image: Image, metadata: dict[str, str], model: onnx.ModelProto) -> tuple[Preprocessing, str]:
    """What the file is taken to want, and a sentence that says so: a file does not say."""
    factor, changes = _rescaling(model, image)
    mean: tuple[float, ...] = 3 * (0.0,)
    std: tuple[float, ...] = 3 * (1.0,)
    why = ""
    if image.kind == 2:  # bytes: pixels as they are, from 0 to 255
        std, what, why = 3 * (1 / 255,), "whole numbers from 0 to 255", ", as its input's kind says"
    elif changes and factor < 0.1:  # Keras's Rescaling, perhaps with its Normalization
        std, what, why = 3 * (1 / 255,), "pixels from 0 to 255", f": its first operators rescale them ({changes})"
    elif changes:
        what, why = "pixels from 0 to 1", f": its first operators normalise them ({changes})"
    elif "Ultralytics" in metadata.get("author", ""):
        what, why = "pixels from 0 to 1", ", as Ultralytics trains"
    else:
        mean, std, what = Preprocessing.mean, Preprocessing.std, "ImageNet's mean and standard deviation"
    return Preprocessing(mean=mean[:image.channels], std=std[:image.channels]), (
        f"No ONNX file says what its input must be; {what} are assumed{why}. Other numbers of the network's training "
        "must be given as its preprocessing.")


def _rescaling(model: onnx.ModelProto, image: Image) -> tuple[float, str]:
    """By what a graph's first operators multiply a pixel, and these operators in words; "" where there are none."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer} | {
        node.output[0]: attribute.t for node in model.graph.node if node.op_type == "Constant"
        for attribute in node.attribute if attribute.name == "value"}
    factor, names, source = 1.0, [], image.name
    for _ in range(12):
        users = [node for node in model.graph.node if source in node.input]
        if len(users) != 1 or len(users[0].output) != 1:
            break
        node = users[0]
        source = node.output[0]
        if node.op_type in ("Cast", "Transpose", "Identity"):
            continue
        numbers = next((constants[name] for name in node.input if name in constants), None)
        if node.op_type not in ("Mul", "Div", "Add", "Sub") or numbers is None or math.prod(numbers.dims) not in (1, 3):
            break
        value = float(np.abs(numpy_helper.to_array(numbers)).mean())
        factor *= value if node.op_type == "Mul" else 1 / value if node.op_type == "Div" and value else 1.0
        names.append(node.op_type)
    return factor, listed(list(dict.fromkeys(names)))


def _sized(preprocessing: Preprocessing, image: Image, title: str) -> Preprocessing:
    if preprocessing.channels != image.channels:
        raise NetworkError(f"{title} takes images of {image.channels} channels, and the preprocessing has "
                           f"{preprocessing.channels} means; expected as many.")
    return replace(preprocessing, size=image.size[0]) if image.size[0] else preprocessing


def _names(metadata: dict[str, str]) -> tuple[str, ...] | None:
    """Class names that an exporter wrote beside the graph, as Ultralytics does: {0: "cat", 1: "dog"} or a list."""
    text = next((metadata[key] for key in ("names", "class_names", "classes", "labels") if metadata.get(key)), "")
    if not text or len(text) > 1_000_000:
        return None
    try:
        tree = ast.literal_eval(text)
        names = [tree[n] for n in range(len(tree))]
        return read_class_names([str(name) for name in names])
    except (ValueError, SyntaxError, LookupError, TypeError, RecursionError, MemoryError, NetworkError):
        return None


def _digest(content: bytes, model: onnx.ModelProto) -> str:
    """sha256 of the file and of the weights that lie beside it, hex."""
    digest = hashlib.sha256(content)
    if model.ByteSize() > len(content):
        for weight in model.graph.initializer:
            digest.update(weight.raw_data)
    return digest.hexdigest()


def _origin(model: onnx.ModelProto) -> str:
    by = one_line(f"{model.producer_name} {model.producer_version}".strip())
    return f"an ONNX file of your own, written by {by}" if by else "an ONNX file of your own"


def _check_same(
    model: onnx.ModelProto, module: nn.Module, image: Image, output: str, x: Tensor, title: str
) -> None:
    """Raises NetworkError where the module does not give ONNX Runtime's numbers."""
    halves = any(weight.data_type in (10, 16) for weight in model.graph.initializer)
    fed = torch.cat([x, x.flip(2)])  # two photos that differ, or what one lends the other would not show
    fed = fed if image.kind != 2 else (255 * torch.sigmoid(fed)).round()
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), session_options(),
                                               providers=["CPUExecutionProvider"])
        array = (fed.permute(0, 2, 3, 1) if image.last else fed).contiguous().numpy().astype(_REAL[image.kind])
        expected = torch.from_numpy(np.stack([session.run([output], {image.name: one[None]})[0].astype(np.float32)
                                              .reshape(-1) for one in array]))
        with torch.no_grad():
            made = module(fed[:1])
            two = module(fed)
    except Exception as error:  # ONNX Runtime has no base class of what it raises, and torch raises many
        raise NetworkError(f"{title} cannot be run on an image of {x.shape[3]} x {x.shape[2]} px: "
                           f"{one_line(first_line(error))}.") from None
    close = _CLOSE_IN_HALF if halves else _CLOSE
    if not _share(made.reshape(1, -1), expected[:1]) <= close:
        drift = _rounding(module, fed[:1], made)
        if drift > close:
            raise NetworkError(f"{title} hangs on rounding: in float32 and float64 its logits differ by {drift:.1g} of "
                               "the largest, so that no two programs agree on them. Expected a trained network, with "
                               "its preprocessing.")
        raise NetworkError(f"{title} uses operators in a way that PoolScope does not follow: its own numbers differ "
                           "from ONNX Runtime's. Export the network again with torch.onnx.export(..., dynamo=True).")
    if len(two) != 2 or not _share(two.reshape(2, -1), expected) <= close:
        raise NetworkError(f"{title} mixes the photos of a batch; expected one answer a photo.")


def _share(made: Tensor, expected: Tensor) -> float:
    """The largest difference as a share of the largest number; not a number, or infinite, where they do not compare."""
    return float((made - expected).abs().max() / expected.abs().max()) if made.shape == expected.shape else math.inf


@torch.no_grad()
def _rounding(module: nn.Module, x: Tensor, made: Tensor) -> float:
    """How far what a module makes of an input is from what it would without rounding, as `_share` says; 0 if unknown.

    The module is the same afterwards: its weights were float32.
    """
    try:
        exact = module.double()(x.double())
    except Exception:  # what casts to float32 on the way is refused by torch in many ways
        return 0.0
    finally:
        module.float()
    drift = _share(made.double(), exact.double())
    return drift if math.isfinite(drift) else 0.0


def _backbone_graph(backbone: nn.Module, model: onnx.ModelProto, image: Image) -> Graph | None:
    """The file's graph up to the feature maps, for the engine; None where they are tokens, or not one tensor of it."""
    name = _last_output(backbone)
    if name is None or not isinstance(backbone, Backbone) or backbone.copies != 1:
        return None
    graph, kind = model.graph, backbone.arrangement.kind
    needed, nodes = {name}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            own = onnx.NodeProto.FromString(node.SerializeToString())
            own.input[:], own.output[:] = map(_own, node.input), map(_own, node.output)
            nodes.append(own)
    float32 = onnx.TensorProto.FLOAT
    before = [helper.make_node("Cast", ["x"], ["x as it is read"], to=image.kind),
              helper.make_node("Transpose", ["x as it is read"], [_own(image.name)], perm=[0, 2, 3, 1]) if image.last
              else helper.make_node("Identity", ["x as it is read"], [_own(image.name)])]
    after = [helper.make_node("Cast", [_own(name)], ["maps as they are made"], to=float32),
             helper.make_node("Transpose", ["maps as they are made"], ["maps"], perm=[0, 3, 1, 2]) if kind == "last"
             else helper.make_node("Identity", ["maps as they are made"], ["maps"])]
    if kind == "tokens":
        return None
    cut = helper.make_graph(
        [*before, *reversed(nodes), *after], "backbone",
        [helper.make_tensor_value_info("x", float32, [1, image.channels, "height", "width"])],
        [helper.make_tensor_value_info("maps", float32, [1, "channels", "rows", "columns"])],
        [_renamed(weight) for weight in graph.initializer if weight.name in needed])
    return Graph(helper.make_model(cut, opset_imports=model.opset_import, ir_version=model.ir_version
                                   ).SerializeToString())


def _own(name: str) -> str:
    """A tensor's name in the file as one that "x" and "maps" are not."""
    return f"{name} of the file" if name else ""


def _renamed(weight: onnx.TensorProto) -> onnx.TensorProto:
    copied = onnx.TensorProto()
    copied.CopyFrom(weight)
    copied.name = _own(weight.name)
    return copied


def _last_output(backbone: nn.Module) -> str | None:
    """The name that the file has for what a backbone gives."""
    part = getattr(backbone, "part", None)
    if isinstance(part, UpTo):
        part = part.model.get_submodule(part.key)
    if not isinstance(part, fx.GraphModule):
        return None
    (end,) = (node for node in part.graph.nodes if node.op == "output")
    source = end.args[0]
    if not isinstance(source, fx.Node) or source.op != "call_module":
        return None
    return getattr(part.get_submodule(str(source.target)), "output", None)
