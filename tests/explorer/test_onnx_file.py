"""ONNX files as networks: graphs as torch, Keras and TensorFlow write them, and files that are refused."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from torch import Tensor

from explorer import analyse, read_image
from explorer.errors import NetworkError, ParameterError
from explorer.framing import Preprocessing
from explorer.networks.loading.load import load_file, load_network

SIZE, CLASSES = 32, 5
RANDOM = np.random.default_rng(0)


def weight(name: str, *shape: int) -> onnx.TensorProto:
    return numpy_helper.from_array((RANDOM.standard_normal(shape) / 3).astype(np.float32), name)


def whole(name: str, *numbers: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(numbers, np.int64), name)


def saved(nodes, weights, shape=("N", 3, SIZE, SIZE), opset=17, domains=(), output=("N", CLASSES), metadata=None
          ) -> bytes:
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), *domains], ir_version=8)
    helper.set_model_props(model, metadata or {})
    return model.SerializeToString()


def convolution(source: str = "image") -> list:
    return [helper.make_node("Conv", [source, "w1", "b1"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("Conv", ["r", "w2"], ["c2"], strides=[2, 2], auto_pad="SAME_UPPER"),
            helper.make_node("Clip", ["c2", "low", "high"], ["maps"])]


def convolution_weights() -> list:
    return [weight("w1", 6, 3, 3, 3), weight("b1", 6), weight("w2", 8, 6, 3, 3),
            numpy_helper.from_array(np.float32(0), "low"), numpy_helper.from_array(np.float32(6), "high")]


def as_torch(**options) -> bytes:
    """GlobalAveragePool, a Flatten and a Gemm."""
    nodes = [*convolution(), helper.make_node("GlobalAveragePool", ["maps"], ["p"]),
             helper.make_node("Flatten", ["p"], ["f"]), helper.make_node("Gemm", ["f", "w", "b"], ["y"], transB=1)]
    return saved(nodes, [*convolution_weights(), weight("w", CLASSES, 8), weight("b", CLASSES)], **options)


def as_keras(**options) -> bytes:
    """Channels last: a Transpose before and after, ReduceMean over rows and columns, MatMul and Add, a Softmax."""
    nodes = [helper.make_node("Transpose", ["image"], ["t"], perm=[0, 3, 1, 2]), *convolution("t"),
             helper.make_node("Transpose", ["maps"], ["last"], perm=[0, 2, 3, 1]),
             helper.make_node("ReduceMean", ["last"], ["p"], axes=[1, 2], keepdims=0),
             helper.make_node("MatMul", ["p", "w"], ["m"]), helper.make_node("Add", ["m", "b"], ["l"]),
             helper.make_node("Softmax", ["l"], ["y"])]
    return saved(nodes, [*convolution_weights(), weight("w", 8, CLASSES), weight("b", CLASSES)],
                 shape=("N", SIZE, SIZE, 3), **options)


def as_tensorflow() -> bytes:
    """A maximum, then a Squeeze, two layers with a LayerNorm spelled out between them; free height and width."""
    nodes = [*convolution(), helper.make_node("GlobalMaxPool", ["maps"], ["p"]),
             helper.make_node("Squeeze", ["p", "places"], ["v"]),
             helper.make_node("ReduceMean", ["v"], ["mean"], axes=[-1]), helper.make_node("Sub", ["v", "mean"], ["d"]),
             helper.make_node("Pow", ["d", "two"], ["q"]), helper.make_node("ReduceMean", ["q"], ["var"], axes=[-1]),
             helper.make_node("Add", ["var", "eps"], ["e"]), helper.make_node("Sqrt", ["e"], ["s"]),
             helper.make_node("Div", ["d", "s"], ["n"]), helper.make_node("Mul", ["n", "g"], ["ng"]),
             helper.make_node("Add", ["ng", "h"], ["normal"]),
             helper.make_node("MatMul", ["normal", "w"], ["m"]), helper.make_node("Add", ["b", "m"], ["y"])]
    return saved(nodes, [*convolution_weights(), whole("places", 2, 3), weight("g", 8), weight("h", 8),
                         numpy_helper.from_array(np.float32(2), "two"),
                         numpy_helper.from_array(np.float32(1e-5), "eps"), weight("w", 8, CLASSES),
                         weight("b", CLASSES)], shape=("N", 3, "H", "W"))


def by_onnx_runtime(data: bytes, x: Tensor, last: bool = False) -> Tensor:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return torch.cat([torch.from_numpy(session.run(["y"], {"image": (one.permute(1, 2, 0) if last else one)[None]
                                                           .contiguous().numpy()})[0]) for one in x])


def inputs(size: int = SIZE) -> Tensor:
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("data", "pooling"), [(as_torch(), "gap"), (as_tensorflow(), "gmp")])
def test_a_graph_gives_onnx_runtimes_logits_and_its_evidence_adds_up(data, pooling):
    network = load_file(data, "model.onnx", preprocessing=Preprocessing(size=SIZE))
    torch.testing.assert_close(network(inputs()), by_onnx_runtime(data, inputs()), rtol=1e-4, atol=1e-5)
    assert (network.pooling.key, network.head_kind) == (pooling, "affine")
    evidence = analyse(network, read_image("assets/examples/astronaut.jpg")).under().evidence(1)
    assert evidence.exact
    assert abs(evidence.logit - evidence.baseline - float(evidence.cells.sum())) < 1e-5


def test_a_graph_may_multiply_by_a_vector_for_its_only_logit():
    nodes = [*convolution(), helper.make_node("ReduceMean", ["maps"], ["p"], axes=[2, 3], keepdims=0),
             helper.make_node("MatMul", ["p", "w"], ["m"]), helper.make_node("Unsqueeze", ["m", "place"], ["y"])]
    data = saved(nodes, [*convolution_weights(), weight("w", 8), whole("place", 1)], output=("N", 1))
    network = load_file(data, "model.onnx")
    torch.testing.assert_close(network(inputs()), by_onnx_runtime(data, inputs()), rtol=1e-4, atol=1e-5)


def test_of_a_channel_last_graph_that_ends_in_a_softmax_the_logits_stand_before_it():
    data = as_keras()
    network = load_file(data, "model.onnx")
    probabilities = network.probabilities(network(inputs()))
    torch.testing.assert_close(probabilities, by_onnx_runtime(data, inputs(), last=True), rtol=1e-4, atol=1e-5)
    assert (network.preprocessing.size, network.activation, network.head_kind) == (SIZE, "softmax", "affine")
    assert any("softmax" in caution for caution in network.cautions)


def test_the_backbone_is_run_by_onnx_runtime():
    for data in (as_torch(), as_keras()):
        network = load_file(data, "model.onnx")
        network(inputs())
        assert network.engine.runs(inputs()) == "ONNX Runtime"


def test_layers_give_gradients():
    network = load_file(as_torch(), "model.onnx")
    assert [layer.shape for layer in network.layers.all] == [(6, 16, 16), (8, 8, 8)]
    maps = network.layers.maps(inputs(), "stage1").requires_grad_()
    network.layers.answer(inputs(), "stage1", maps).sum().backward()
    assert maps.grad.abs().sum() > 0


def test_a_file_of_one_size_whose_operators_are_local_takes_other_sizes():
    network = load_file(as_torch(), "model.onnx")
    free = as_torch(shape=("N", 3, "H", "W"))
    assert not network.preprocessing.fixed
    assert load_file(free, "free.onnx", preprocessing=Preprocessing(size=64)).preprocessing.size == 64


def test_preprocessing_is_assumed_and_named_and_class_names_are_read():
    network = load_file(as_torch(metadata={"names": "{0: 'ant', 1: 'bee', 2: 'cat', 3: 'dog', 4: 'elk'}"}), "m.onnx")
    assert any("ImageNet" in caution for caution in network.cautions)
    assert network.class_names == ("ant", "bee", "cat", "dog", "elk")
    assert not load_file(as_torch(), "m.onnx", preprocessing=Preprocessing()).cautions


def test_classes_of_one_name_are_told_apart():
    network = load_file(as_torch(), "model.onnx", class_names=["a", "b", "a", "c", "d"])
    assert network.class_names == ("a (0)", "b", "a (2)", "c", "d")


def number(name: str, *values: float) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.float32).reshape((1, -1, 1, 1) if len(values) > 1 else ()), name)


RESCALED = [helper.make_node("Mul", ["image", "scale"], ["scaled"]),
            helper.make_node("Sub", ["scaled", "mean"], ["sub"]), helper.make_node("Div", ["sub", "std"], ["x"])]
KERAS = [number("scale", 1 / 255), number("mean", 0.5, 0.4, 0.3), number("std", 0.2, 0.2, 0.3)]


@pytest.mark.parametrize(("nodes", "weights", "std", "words"), [
    (RESCALED, KERAS, 1 / 255, "pixels from 0 to 255 are assumed: its first operators rescale them (Mul, Sub and Div)"),
    ([helper.make_node("Div", ["image", "scale"], ["s"]), helper.make_node("Sub", ["s", "mean"], ["x"])],
     [number("scale", 127.5), number("mean", 1)], 1 / 255, "rescale them (Div and Sub)"),
    ([helper.make_node("Sub", ["image", "mean"], ["s"]), helper.make_node("Div", ["s", "std"], ["x"])], KERAS[1:], 1,
     "pixels from 0 to 1 are assumed: its first operators normalise them (Sub and Div)"),
], ids=["Keras's Rescaling and Normalization", "from -1 to 1", "normalised in the graph"])
def test_preprocessing_inside_of_the_graph_is_understood_and_named(nodes, weights, std, words):
    rest = [helper.make_node("GlobalAveragePool", ["maps"], ["p"]), helper.make_node("Flatten", ["p"], ["f"]),
            helper.make_node("Gemm", ["f", "w", "b"], ["y"], transB=1)]
    data = saved([*nodes, *convolution("x"), *rest],
                 [*weights, *convolution_weights(), weight("w", CLASSES, 8), weight("b", CLASSES)])
    network = load_file(data, "model.onnx")
    assert network.preprocessing.mean == (0, 0, 0)
    assert network.preprocessing.std == (std, std, std)
    assert any(words in caution for caution in network.cautions)
    photo = Image.new("RGB", (SIZE, SIZE), (200, 100, 50))
    fed = torch.tensor([200.0, 100, 50]).div(255 * std)[None, :, None, None].expand(1, 3, SIZE, SIZE)
    expected = by_onnx_runtime(data, fed.contiguous())
    torch.testing.assert_close(analyse(network, photo).under().logits, expected[0], rtol=1e-3, atol=1e-3)


def test_of_several_outputs_one_can_be_chosen():
    nodes = [*convolution(), helper.make_node("GlobalAveragePool", ["maps"], ["p"]),
             helper.make_node("Flatten", ["p"], ["f"]), helper.make_node("Gemm", ["f", "w", "b"], ["y"], transB=1),
             helper.make_node("Gemm", ["f", "w2b", "b2"], ["z"], transB=1)]
    weights = [weight("w", CLASSES, 8), weight("b", CLASSES), weight("w2b", 2, 8), weight("b2", 2)]
    model = onnx.ModelProto.FromString(saved(nodes, [*convolution_weights(), *weights]))
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ("N", 2)))
    data = model.SerializeToString()
    first, second = load_file(data, "m.onnx"), load_file(data, "m.onnx", output="z")
    assert any("read from y, not from z" in caution for caution in first.cautions)
    assert (len(first.class_names), len(second.class_names)) == (CLASSES, 2)
    assert not any("outputs" in caution for caution in second.cautions)
    with pytest.raises(ParameterError, match="output"):
        load_file(data, "m.onnx", output="q")


def test_a_single_output_that_may_be_a_value_is_named():
    nodes = [*convolution(), helper.make_node("GlobalAveragePool", ["maps"], ["p"]),
             helper.make_node("Flatten", ["p"], ["f"]), helper.make_node("Gemm", ["f", "w", "b"], ["y"], transB=1)]
    data = saved(nodes, [*convolution_weights(), weight("w", 1, 8), weight("b", 1)], output=("N", 1))
    assert any("regression" in caution for caution in load_file(data, "age.onnx").cautions)
    assert not any("regression" in caution for caution in load_file(data, "age.onnx", activation="none").cautions)


def test_weights_in_a_file_beside_it_are_read_and_without_that_file_refused(tmp_path):
    data = as_torch()
    model = onnx.ModelProto.FromString(data)
    onnx.save(model, tmp_path / "two.onnx", save_as_external_data=True, location="two.data", size_threshold=0)
    network = load_network(tmp_path / "two.onnx")
    torch.testing.assert_close(network(inputs()), by_onnx_runtime(data, inputs()), rtol=1e-4, atol=1e-5)
    with pytest.raises(NetworkError, match="save it as one file"):
        load_file((tmp_path / "two.onnx").read_bytes(), "two.onnx")


@pytest.mark.parametrize("place", ["../secret", "/etc/passwd", "a/b"])
def test_weights_outside_of_its_folder_are_refused(tmp_path, place):
    model = onnx.ModelProto.FromString(as_torch())
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], place)
    model.graph.initializer[0].ClearField("raw_data")
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(NetworkError, match="its own folder"):
        load_network(tmp_path / "m.onnx")


def refused(nodes, weights=(), **options) -> str:
    with pytest.raises(NetworkError) as caught:
        load_file(saved(nodes, list(weights), **options), "model.onnx")
    return str(caught.value)


def test_custom_operators_control_flow_and_unknown_opsets_are_refused_in_a_sentence():
    custom = helper.make_node("Wavelet", ["image"], ["y"], domain="com.lab")
    assert "Wavelet of com.lab" in refused([custom], domains=[helper.make_opsetid("com.lab", 1)])
    branch = helper.make_graph([], "b", [], [])
    assert "control flow" in refused([helper.make_node("If", ["image"], ["y"], then_branch=branch, else_branch=branch)])
    assert "opset 99" in refused([helper.make_node("Relu", ["image"], ["y"])], opset=99)
    assert "Hardmax" in refused([helper.make_node("Hardmax", ["image"], ["y"])])


def test_a_small_file_that_asks_for_much_memory_is_refused_before_any_is_taken():
    vast = helper.make_node("ConstantOfShape", ["lengths"], ["vast"])
    assert "numbers" in refused([vast, helper.make_node("Add", ["image", "vast"], ["y"])],
                                [whole("lengths", 10**6, 10**6)])
    assert "numbers" in refused([helper.make_node("Tile", ["image", "times"], ["y"])],
                                [whole("times", 1, 1, 10**5, 10**5)])


def pooled(*nodes: onnx.NodeProto, weights=(), source: str = "maps") -> str:
    """What a graph is refused with whose maps are made by these nodes."""
    return refused([*nodes, helper.make_node("GlobalAveragePool", [source], ["p"]),
                    helper.make_node("Flatten", ["p"], ["f"]), helper.make_node("Gemm", ["f", "w"], ["y"], transB=1)],
                   [weight("w", CLASSES, 8), *weights])


def test_maps_far_larger_than_the_image_are_refused_though_memory_would_hold_them():
    padded = helper.make_node("Conv", ["image", "w1"], ["maps"], strides=[1, 1], pads=[1, 1, 2**16, 1])
    assert "numbers of one image" in pooled(padded, weights=[weight("w1", 8, 3, 3, 3)])


def test_a_layer_of_more_weights_than_a_map_may_have_numbers_is_no_reason_to_refuse():
    inner = 8 * (SIZE // 4) ** 2
    hidden = 2_000_000 // inner + 1  # AlexNet's first Linear has 38 million weights
    nodes = [*convolution(), helper.make_node("Flatten", ["maps"], ["f"]),
             helper.make_node("Gemm", ["f", "v"], ["h"], transB=1),
             helper.make_node("Gemm", ["h", "w"], ["y"], transB=1)]
    data = saved(nodes, [*convolution_weights(), weight("v", hidden, inner), weight("w", CLASSES, hidden)])
    network = load_file(data, "model.onnx", preprocessing=Preprocessing(size=SIZE))
    assert "flattens" in network.reason


def masked(*places: int) -> bytes:
    """A mask written into a constant at some places, as Swin has it, and read again by its places."""
    nodes = [*convolution(), helper.make_node("ScatterND", ["zeros", "at", "ones"], ["mask"]),
             helper.make_node("GatherND", ["mask", "from"], ["row"]), helper.make_node("Add", ["maps", "row"], ["m"]),
             helper.make_node("GlobalAveragePool", ["m"], ["p"]), helper.make_node("Flatten", ["p"], ["f"]),
             helper.make_node("Gemm", ["f", "w", "b"], ["y"], transB=1)]
    return saved(nodes, [*convolution_weights(), weight("w", CLASSES, 8), weight("b", CLASSES),
                         numpy_helper.from_array(np.zeros((3, 8), np.float32), "zeros"),
                         numpy_helper.from_array(np.array([places], np.int64), "at"),
                         numpy_helper.from_array(np.ones(1, np.float32), "ones"), whole("from", -2)])


def test_a_mask_that_is_written_and_read_by_its_places_is_followed_and_places_beyond_the_end_are_refused():
    data = masked(1, 2)
    torch.testing.assert_close(load_file(data, "m.onnx")(inputs()), by_onnx_runtime(data, inputs()), rtol=1e-4,
                               atol=1e-5)
    with pytest.raises(NetworkError, match="ScatterND in a way"):
        load_file(masked(1, 99), "m.onnx")


def row(*written: str, **attributes) -> list[onnx.NodeProto]:
    """Operators in a row, each written "Kind input... -> output"."""
    made = []
    for text in written:
        source, output = text.split(" -> ")
        kind, *names = source.split()
        made.append(helper.make_node(kind, names, [output], **attributes.get(output, {})))
    return made


ANSWER = ["GlobalAveragePool m -> p", "Flatten p -> f", "Gemm f w b -> y"]


def answered(*written: str, weights=(), **attributes) -> bytes:
    """A graph for one photo, whose operators after the maps are written so."""
    nodes = [*convolution(), *row(*written, y={"transB": 1}, **attributes)]
    return saved(nodes, [*convolution_weights(), weight("w", CLASSES, 8), weight("b", CLASSES), *weights],
                 shape=(1, 3, SIZE, SIZE), output=(1, CLASSES))


def check_followed(data: bytes) -> None:
    """The logits of three photos at once are ONNX Runtime's of each, and evidence adds up."""
    network = load_file(data, "model.onnx", preprocessing=Preprocessing(size=SIZE))
    torch.testing.assert_close(network(inputs()), by_onnx_runtime(data, inputs()), rtol=1e-4, atol=1e-5)
    assert network.pooling.key == "gap"
    assert abs(analyse(network, read_image("assets/examples/astronaut.jpg")).under().evidence(1).residual) < 1e-5


def strided(*places: int) -> bytes:
    """The pooled vector made a row and picked by its places: so torch writes the pooling of maps with channels last."""
    picked = numpy_helper.from_array(np.array(places, np.int64).reshape(1, 8, 1, 1), "places")
    return answered("ReduceMean maps -> p", "Reshape p all -> row", "Gather row places -> q", "Reshape q flat -> f",
                    "Gemm f w b -> y", p={"axes": [-1, -2]}, weights=[whole("all", -1), whole("flat", 1, 8), picked])


def test_a_row_of_all_numbers_in_their_order_as_convnext_and_swin_have_it_is_followed_for_any_batch():
    check_followed(strided(*range(8)))
    with pytest.raises(NetworkError, match="mixes the photos"):
        load_file(strided(*reversed(range(8))), "model.onnx")


def test_weights_that_a_graph_standardises_itself_are_followed():
    nodes = row("Reshape w1 rows -> r", "ReduceMean r -> mean", "Sub r mean -> s", "Reshape s back -> w0",
                "Conv image w0 -> c", "Relu c -> m", *ANSWER, mean={"axes": [2]}, c={"strides": [4, 4]},
                y={"transB": 1})
    check_followed(saved(nodes, [weight("w1", 8, 3, 3, 3), whole("rows", 1, 8, -1), whole("back", 8, 3, 3, 3),
                                 weight("w", CLASSES, 8), weight("b", CLASSES)]))


def test_windows_whose_number_is_written_for_one_image_are_followed_for_any_batch():
    check_followed(answered(
        "Reshape maps cut -> a", "Transpose a -> t", "Reshape t windows -> u", "Reshape u heads -> h",
        "ReduceL2 h -> n", "Expand n lengths -> e", "Add h e -> d", "Reshape d put -> v", "Transpose v -> k",
        "Reshape k grid -> m", *ANSWER, t={"perm": [0, 2, 4, 3, 5, 1]}, n={"axes": [-1]},
        k={"perm": [0, 5, 1, 3, 2, 4]},
        weights=[whole("cut", 1, 8, 2, 4, 2, 4), whole("windows", 4, 16, 8), whole("heads", 4, 16, 2, -1),
                 whole("lengths", 4, 16, 2, 4), whole("put", 1, 2, 2, 4, 4, -1), whole("grid", 1, 8, 8, 8)]))


def test_what_one_photo_of_a_batch_lends_another_is_seen_though_each_alone_is_right():
    with pytest.raises(NetworkError, match="mixes the photos"):
        load_file(answered("ReduceMax maps -> most", "Add maps most -> m", *ANSWER, most={"axes": [0]}), "model.onnx")


def test_numbers_that_hang_on_rounding_are_refused_as_such():
    vast = numpy_helper.from_array(np.float32(1e8), "vast")
    with pytest.raises(NetworkError, match="hangs on rounding"):
        load_file(answered("Mul maps vast -> n", "Sin n -> m", *ANSWER, weights=[vast]), "model.onnx")


def test_what_an_operator_makes_on_the_way_counts_though_little_of_it_is_left():
    padded = helper.make_node("Conv", ["image", "w1"], ["maps"], strides=[2**14, 2**14], pads=[1, 1, 2**16, 2**16])
    assert "numbers of one image" in pooled(padded, weights=[weight("w1", 8, 3, 3, 3)])


def test_constants_made_of_a_few_bytes_are_refused_all_together():
    nodes = [node for n in range(30) for node in (
        helper.make_node("ConstantOfShape", ["lengths"], [f"vast{n}"]),
        helper.make_node("ReduceSum", [f"vast{n}"], [f"sum{n}"], keepdims=0))]
    sums = helper.make_node("Sum", ["c", *(f"sum{n}" for n in range(30))], ["maps"])
    assert "constants" in pooled(helper.make_node("Conv", ["image", "w1"], ["c"]), *nodes, sums,
                                 weights=[weight("w1", 8, 3, 3, 3), whole("lengths", 1500, 1000)])


@pytest.mark.parametrize("end", [20, 200, 700])
def test_a_file_cut_short_is_refused(end):
    with pytest.raises(NetworkError, match="damaged or cut short"):
        load_file(as_torch()[:end], "model.onnx")
