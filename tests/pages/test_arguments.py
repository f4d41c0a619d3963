"""What the app is started with: read once, told in one sentence where it is wrong, and shared by all who come."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import squeezenet1_1

from explorer.errors import ExplorerError, ParameterError
from explorer.framing import Preprocessing
from explorer.networks.loading.options import Options, usual_preprocessing
from explorer.ui.session.arguments import Folders, _given, given, load_given, read
from tests.pages.boards import boards, is_plain_sentence, notices
from tests.pages.memory import forget


@pytest.fixture
def started(monkeypatch):
    """`started("--network", "resnet18")`: as if the app had been started so."""

    def start(*words: str) -> None:
        monkeypatch.setattr("sys.argv", ["app.py", *words])
        _given.cache_clear()
        forget("given")

    yield start
    _given.cache_clear()
    forget("given")


@pytest.fixture
def own(tmp_path) -> tuple[Path, Path, nn.Module]:
    """A checkpoint, its class names and the model itself."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = squeezenet1_1(num_classes=3).eval()
    file, names = tmp_path / "my own.safetensors", tmp_path / "classes.txt"
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, file)
    names.write_text("daisy\n<b>rose</b>\ntulip\n", encoding="utf-8")
    return file, names, model


def test_every_argument_is_read():
    assert read([]) == (Options(), Folders())
    assert read(["--network", "resnet18", "--checkpoint", "a.pth", "--classes", "b.txt", "--size", "96", "--mean",
                 "0.1,0.2,0.3", "--std", "1,1,1", "--sigmoid", "--layer", "layer4"])[0] == Options(
        "resnet18", Path("a.pth"), Path("b.txt"), 96, (0.1, 0.2, 0.3), (1.0, 1.0, 1.0), "sigmoid",
        None, "layer4")
    assert read(["--run", "a", "--run", "b", "--folder", "photos", "--labels", "c.csv"])[1] == Folders(
        (Path("a"), Path("b")), "photos", "c.csv")


@pytest.mark.parametrize("words", [
    ["--netwrok", "resnet18"], ["resnet18"], ["--network"], ["--size", "big", "--network", "x"],
    ["--net", "resnet18"],
    ["--mean", "a,b,c", "--network", "x"], ["--classes", "names.txt"],
    ["--labels", "a.csv"], ["--sigmoid"], ["--help"]])
def test_arguments_that_cannot_be_understood_are_one_sentence(words):
    with pytest.raises(ParameterError) as refused:
        read(words)
    assert is_plain_sentence(str(refused.value))


def test_the_command_line_of_another_program_is_none_of_ours(monkeypatch):
    _given.cache_clear()
    monkeypatch.setattr("sys.argv", ["pytest", "--network", "resnet18", "--nonsense"])
    assert given() == (Options(), "")
    _given.cache_clear()


def test_a_bad_argument_is_told_in_the_terminal_and_on_the_page_and_the_app_starts(started, open_page, capsys):
    started("--netwrok", "resnet18")
    page = open_page()
    (sentence,) = notices(page)
    assert "--netwrok" in sentence
    assert f"PoolScope: {sentence}\n" in capsys.readouterr().err
    assert page.query_params["network"] == "efficientnet_lite0"
    assert not page.exception
    assert notices(page.run()) == []


def test_a_checkpoint_that_is_not_there_is_told_and_the_bundled_network_shown(started, open_page, capsys):
    started("--network", "squeezenet1_1", "--checkpoint", "/nowhere/my.safetensors")
    page = open_page()
    assert notices(page)[0] == "There is no file '/nowhere/my.safetensors'; expected a checkpoint."
    assert "/nowhere/my.safetensors" in capsys.readouterr().err
    assert page.query_params["network"] == "efficientnet_lite0"


def test_a_given_network_is_the_first_that_everybody_sees(started, open_page, own):
    file, names, _ = own
    started("--network", "squeezenet1_1", "--checkpoint", str(file), "--classes", str(names), "--size", "160",
            "--sigmoid")
    page, another = open_page(example="cat"), open_page("pages/1_Feature_maps.py", network="given")
    for item in (page, another):
        assert not item.exception
        assert notices(item) == []
        assert item.query_params["network"] == "given"
        assert item.query_params["size"] == "160"
        text = boards(item)["examples"].one("card").text
        for part in ("my own.safetensors", "3 classes", "sigmoid", "160 px"):
            assert part in text


def test_a_given_network_answers_as_the_model_does(own):
    file, names, model = own
    network = load_given(Options("squeezenet1_1", file, names, mean=(0.5, 0.5, 0.5)))
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(network(x), model(x), rtol=1e-4, atol=1e-4)
    assert network.class_names == ("daisy", "<b>rose</b>", "tulip")
    assert network.preprocessing.mean == (0.5, 0.5, 0.5)
    assert network.preprocessing.std == (0.229, 0.224, 0.225), "what is not said is the architecture's"
    assert network.name == "given"


def test_what_is_given_without_being_given_is_a_sentence(open_page):
    page = open_page(network="given")
    assert is_plain_sentence(notices(page)[0])
    assert page.query_params["network"] == "efficientnet_lite0"


@pytest.mark.parametrize(("name", "size", "ratio", "interpolation", "mean"), [
    ("torchvision/resnet18", 224, 224 / 256, "bilinear", 0.485), ("torchvision/inception_v3", 299, 299 / 342,
                                                                  "bilinear", 0.485),
    ("timm/resnet10t.c3_in1k", 224, 0.95, "bicubic", 0.485), ("efficientnet_lite0", 224, 0.875, "bicubic", 127 / 255),
])
def test_the_usual_preprocessing_is_that_of_the_architecture(name, size, ratio, interpolation, mean):
    usual = usual_preprocessing(name)
    assert (usual.size, usual.interpolation) == (size, interpolation)
    assert usual.crop_ratio == pytest.approx(ratio)
    assert usual.mean[0] == pytest.approx(mean)


def test_without_an_architecture_it_is_imagenets():
    assert usual_preprocessing(None) == Preprocessing()
    with pytest.raises(ExplorerError):
        usual_preprocessing("torchvision/resnet19")
