"""What all tests share: the bundled network and the example photos, each loaded once a session, and tiny networks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from hypothesis import settings
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from explorer import POOLINGS, load_network, read_image
from explorer.framing import Preprocessing
from explorer.networks import Network
from tests.planted import Planted
from tests.planted import make as make_planted

# Most tests work on small tensors, where waiting for a second thread costs more than it gives. THREADS=2 tries others.
torch.set_num_threads(int(os.environ.get("THREADS", "1")))

EXAMPLES = Path(__file__).resolve().parents[1] / "assets" / "examples"

# The same examples each time, and no deadline: a busy machine is slow, not wrong.
settings.register_profile("poolscope", deadline=None, derandomize=True)
settings.load_profile("poolscope")


class BrowserApart(LoadScopeScheduling):
    """A machine has room for one browser and one app: one process runs all tests of them, the others the rest."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "tests/browser" if file.startswith("tests/browser/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> BrowserApart:
    """By file, in the order of their names, the browser's first: they take longest."""
    config.option.loadscopereorder = False
    return BrowserApart(config, log)


@pytest.fixture(scope="session")
def network() -> Network:
    """The bundled network. It is shared: a test that wants to change something makes a copy."""
    return load_network("efficientnet_lite0")


@pytest.fixture(scope="session")
def original() -> nn.Module:
    """timm's own model with the bundled weights, never cut; torchcam may put its hooks on it."""
    model = timm.create_model("tf_efficientnet_lite0")
    state = load_file(EXAMPLES.parent / "efficientnet_lite0.safetensors")
    model.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in state.items()})
    return model.eval()


@pytest.fixture(scope="session")
def examples() -> dict[str, Image.Image]:
    """The example photos by name ("astronaut", "cat", ...), RGB."""
    return {path.stem: read_image(path) for path in sorted(EXAMPLES.glob("*.jpg"))}


@pytest.fixture(scope="session")
def planted(tmp_path_factory) -> Planted:
    """A run by a network that learned a sticker in place of a rocket."""
    return make_planted(tmp_path_factory.mktemp("planted"))


class Patches(nn.Module):
    """A backbone of one convolution: (B, 3, h, w) to (B, channels, h / 24, w / 24). It counts its calls."""

    def __init__(self, channels: int, activation: nn.Module) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, channels, 24, stride=24)
        self.activation = activation
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.activation(self.convolution(x))


@pytest.fixture(scope="session")
def make_network() -> Callable[..., Network]:
    """`make_network(head, classes, pooling="gap", ...)`: an untrained network, 5 channels, input 96 px, grid 4 x 4."""

    def make(
        head: nn.Module | None = None, classes: int = 4, pooling: str = "gap", channels: int = 5,
        activation: nn.Module | None = None, seed: int = 0, **pooling_parameters: float,
    ) -> Network:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            backbone = Patches(channels, activation or nn.ReLU())
            head = nn.Linear(channels, classes) if head is None else head
        return Network(
            name="tiny", title="Tiny", backbone=backbone, pooling=POOLINGS[pooling], head=head,
            class_names=tuple(f"class {n}" for n in range(classes)), preprocessing=Preprocessing(size=96),
            digest="0" * 64, origin="untrained", pooling_parameters=pooling_parameters,
        )

    return make
