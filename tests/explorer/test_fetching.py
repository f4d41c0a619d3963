"""Weights from a server or the cache: with progress, never unpickled, and in a sentence what went wrong."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from huggingface_hub import constants
from safetensors.torch import save
from torchvision.models import get_model_weights

from explorer.errors import NetworkError, StoppedError
from explorer.networks.loading.by_name import cached_names, pretrained
from explorer.networks.loading.fetching import NotFetchedError, fetch_address, fetch_from_hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BODY = bytes(range(256)) * 4000  # 1 MB: several chunks
RESNET = "timm/test_resnet.r160_in1k"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Server:
    """What a web server has, and the requests to it. As a Hugging Face hub it has the bytes on another host."""

    port: int
    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    status: int = 404

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def hub(self, repository: str, name: str, data: bytes) -> None:
        self.files[f"/{repository}/resolve/main/{name}"] = data

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.requests.append((request.command, request.path))
        data = self.files.get(request.path.removeprefix("/bytes"))
        if data is None:
            request.send_response(self.status)
            if self.status == 404:
                request.send_header("X-Error-Code", "EntryNotFound")
            request.send_header("Content-Length", "0")
            request.end_headers()
        elif "/resolve/" in request.path and not request.path.startswith("/bytes"):
            request.send_response(302)
            request.send_header("X-Repo-Commit", COMMIT)
            request.send_header("X-Linked-Etag", f'"{sha256(data)}"')
            request.send_header("X-Linked-Size", str(len(data)))
            request.send_header("Location", f"http://localhost:{self.port}/bytes{request.path}")
            request.send_header("Content-Length", "0")
            request.end_headers()
        else:
            request.send_response(200)
            request.send_header("Content-Length", str(len(data)))
            request.end_headers()
            if request.command == "GET":
                request.wfile.write(data)


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """Empty caches; a hub that is not there, unless a test starts one."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    point_hub_at(monkeypatch, f"http://127.0.0.1:{closed_port()}")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def server(monkeypatch):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.answer(self)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Server(http.server_address[1])
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    point_hub_at(monkeypatch, state.root)
    yield state
    http.shutdown()
    http.server_close()


def point_hub_at(monkeypatch, root: str) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", root)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", root + "/{repo_id}/resolve/{revision}/{filename}")


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def sentence(error: pytest.ExceptionInfo) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert text[0].isupper()
    assert not any(word in text for word in ("Traceback", "urlopen", "Errno", "Exception", "object at"))
    return text


# Files.


def serve_address(server: Server) -> str:
    path = f"/m/net-{sha256(BODY)[:8]}.pth"
    server.files[path] = BODY
    return server.root + path


def test_a_file_of_an_address_is_fetched_once_and_progress_rises_to_the_total(server, caches):
    address, steps = serve_address(server), []
    for _ in range(2):
        file = fetch_address(address, lambda *step: steps.append(step))
        assert file == caches / "torch" / "hub" / "checkpoints" / Path(address).name
        assert file.read_bytes() == BODY
    assert len(server.requests) == 1
    assert len(steps) > 2
    assert steps == sorted(set(steps))
    assert steps[-1] == (len(BODY), len(BODY))


def test_a_file_of_the_hub_is_fetched_once_and_progress_rises_to_the_total(server, caches):
    server.hub("timm/net", "model.safetensors", BODY)
    steps = []
    for _ in range(2):
        file = fetch_from_hub("timm/net", ("model.safetensors", "x"), lambda *step: steps.append(step))
        assert file.read_bytes() == BODY
        assert file.is_relative_to(caches / "hub")
    assert [command for command, path in server.requests if path.startswith("/bytes") and command == "GET"] == ["GET"]
    assert steps[-1] == (len(BODY), len(BODY))
    assert steps == sorted(set(steps))


def test_without_progress_the_libraries_draw_their_own_bars(server, capsys):
    fetch_address(serve_address(server))
    assert "100%" in capsys.readouterr().err


def test_two_fetches_at_once_report_to_their_own_progress(server):
    steps: dict[int, list] = {1: [], 2: []}
    addresses = {}
    for n, data in ((1, BODY), (2, BODY[: len(BODY) // 2])):
        path = f"/m/net{n}-{sha256(data)[:8]}.pth"
        server.files[path], addresses[n] = data, server.root + path
    threads = [threading.Thread(target=lambda n=n: fetch_address(addresses[n], lambda *step: steps[n].append(step)))
               for n in addresses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (steps[1][-1], steps[2][-1]) == ((len(BODY),) * 2, (len(BODY) // 2,) * 2)


def test_what_progress_raises_stops_the_fetch_and_no_file_is_there(server, caches):
    def stop(done, total):
        raise StoppedError("Stopped.")

    server.hub("timm/net", "model.safetensors", BODY)
    with pytest.raises(StoppedError):
        fetch_address(serve_address(server), stop)
    with pytest.raises(StoppedError):
        fetch_from_hub("timm/net", ("model.safetensors",), stop)
    assert not [path for path in files_in(caches) if path.endswith((".pth", ".safetensors"))]


def test_a_file_of_another_hash_than_its_name_says_is_not_kept(server, caches):
    server.files["/m/net-00000000.pth"] = BODY
    with pytest.raises(NotFetchedError, match="hash"):
        fetch_address(f"{server.root}/m/net-00000000.pth")
    assert files_in(caches) == set()


def test_safetensors_first_and_the_older_file_where_there_are_none(server):
    server.hub("timm/old", "pytorch_model.bin", BODY)
    assert fetch_from_hub("timm/old", ("model.safetensors", "pytorch_model.bin")).name == "pytorch_model.bin"
    server.hub("timm/new", "pytorch_model.bin", BODY)
    server.hub("timm/new", "model.safetensors", BODY[1:])
    assert fetch_from_hub("timm/new", ("model.safetensors", "pytorch_model.bin")).name == "model.safetensors"


def test_a_file_that_is_missing_is_told_from_a_server_that_refuses_and_from_none(server, monkeypatch):
    def reason(act) -> tuple[str, bool]:
        with pytest.raises(NotFetchedError) as refused:
            act()
        return str(refused.value), refused.value.missing

    def address() -> None:
        fetch_address(f"{server.root}/none-01234567.pth")

    def hub() -> None:
        fetch_from_hub("timm/net", ("model.safetensors", "pytorch_model.bin"))

    assert reason(address) == reason(hub) == ("the server answered 404", True)
    server.status = 403
    assert reason(address) == reason(hub) == ("the server answered 403", False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert reason(hub) == ("HF_HUB_OFFLINE is set", False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    point_hub_at(monkeypatch, f"http://127.0.0.1:{closed_port()}")
    assert reason(hub) == ("Connection refused", False)
    assert reason(lambda: fetch_address(f"http://127.0.0.1:{closed_port()}/x-01234567.pth")) == (
        "Connection refused", False)


def test_a_folder_that_cannot_be_written_to_is_named(server, caches):
    (caches / "torch").write_text("")
    with pytest.raises(NotFetchedError, match=r"Not a directory: .*torch"):
        fetch_address(serve_address(server))


# Networks.


def filled(module: torch.nn.Module) -> torch.nn.Module:
    """Numbers of a fixed seed everywhere, also where a new network has only zeros and ones."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                flat = tensor.ndim < 2  # variances are positive
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.5 + 0.5 if flat else
                             torch.randn(tensor.shape, generator=generator) * 0.05)
    return module.eval()


def stored(state: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def serve_torchvision(server: Server, monkeypatch, architecture: str, data: bytes) -> None:
    weights = get_model_weights(architecture).DEFAULT
    path = f"/models/{architecture}-{sha256(data)[:8]}.pth"
    server.files[path] = data
    monkeypatch.setattr(weights.value, "url", server.root + path)


def same_answers(module: torch.nn.Module, other: torch.nn.Module, side: int) -> None:
    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        mine, theirs = module(x), other(x)
    assert theirs.std() > 0
    assert torch.isfinite(theirs).all()
    assert torch.equal(mine, theirs)


@pytest.mark.parametrize("architecture", ["googlenet", "densenet121", "mnasnet0_5", "squeezenet1_1"])
def test_a_torchvision_network_is_what_torchvision_makes_of_the_file(server, monkeypatch, architecture):
    builder = getattr(torchvision.models, architecture)
    original = filled(builder(**({"init_weights": False} if architecture == "googlenet" else {})))
    state = original.state_dict()
    if architecture == "densenet121":  # as its file has it, from before dots were refused in names
        state = {key.replace("norm1.", "norm.1.").replace("norm2.", "norm.2.").replace("conv1.", "conv.1.")
                 .replace("conv2.", "conv.2."): tensor for key, tensor in state.items() if "num_batches" not in key}
        assert any(".norm.1." in key for key in state)
    serve_torchvision(server, monkeypatch, architecture, stored(state))
    weights = get_model_weights(architecture).DEFAULT
    blueprint = pretrained(architecture)
    monkeypatch.setattr(type(weights), "get_state_dict",
                        lambda *_, **__: torch.load(io.BytesIO(stored(state)), weights_only=True))
    same_answers(blueprint.module, builder(weights=weights).eval(), 96)
    assert blueprint.digest == sha256(stored(state))
    assert blueprint.origin == "ImageNet, torchvision IMAGENET1K_V1"
    assert blueprint.class_names[207] == "golden retriever"


def test_a_timm_network_is_what_was_saved_and_needs_no_connection_again(server, monkeypatch):
    original = filled(timm.create_model("test_resnet"))
    data = save(original.state_dict())
    server.hub(RESNET, "model.safetensors", data)
    steps = []
    blueprint = pretrained(RESNET, lambda *step: steps.append(step))
    same_answers(blueprint.module, original, 160)
    assert blueprint.digest == sha256(data)
    assert blueprint.origin == "timm r160_in1k, Hugging Face timm/test_resnet.r160_in1k"
    assert steps[-1] == (len(data), len(data))
    assert not any(module.training for module in blueprint.module.modules())
    point_hub_at(monkeypatch, f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    same_answers(pretrained("test_resnet").module, original, 160)


def test_what_timm_renames_is_renamed(server):
    """A file with the names of ConvNeXt's authors, wrapped and in the older format, as those had it."""
    original = filled(timm.create_model("test_convnext"))
    renamed = {}
    for key, tensor in original.state_dict().items():
        name = key.replace(".blocks.", ".").replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
        name = name.replace("stem.", "downsample_layers.0.").replace("head.norm", "norm").replace("head.fc", "head")
        for stage in "123":
            name = name.replace(f"stages.{stage}.downsample", f"downsample_layers.{stage}")
        renamed[name] = tensor
    assert not renamed.keys() & {"stem.0.weight", "head.fc.weight"}
    server.hub("timm/test_convnext.r160_in1k", "pytorch_model.bin", stored({"model": renamed}))
    same_answers(pretrained("timm/test_convnext.r160_in1k").module, original, 160)


def test_weights_of_half_precision_become_whole(server):
    state = {key: tensor.half() if tensor.is_floating_point() else tensor
             for key, tensor in filled(timm.create_model("test_resnet")).state_dict().items()}
    server.hub(RESNET, "model.safetensors", save(state))
    assert {weight.dtype for weight in pretrained(RESNET).module.parameters()} == {torch.float32}


class Opener:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_is_never_run(server, monkeypatch, tmp_path):
    hostile = Opener(tmp_path / "run")
    for number, data in enumerate((stored({"weight": hostile}), pickle.dumps(hostile))):
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / f"hub{number}"))
        server.hub(RESNET, "pytorch_model.bin", data)
        serve_torchvision(server, monkeypatch, "squeezenet1_1", data)
        for name in (RESNET, "torchvision/squeezenet1_1"):
            with pytest.raises(NetworkError, match="expected its weights alone") as error:
                pretrained(name)
            sentence(error)
            assert not (tmp_path / "run").exists()
    pickle.loads(pickle.dumps(hostile))
    assert (tmp_path / "run").exists()  # so it does run where it is let


@pytest.mark.parametrize("data", [b"", b"not safetensors", BODY, save({"other": torch.ones(3)})])
def test_a_file_that_does_not_fit_is_a_sentence(server, data):
    server.hub(RESNET, "model.safetensors", data)
    with pytest.raises(NetworkError, match=r"model\.safetensors of timm/test_resnet") as error:
        pretrained(RESNET)
    sentence(error)


def test_a_damaged_file_is_a_sentence_that_says_what_to_delete_to_have_it_fetched_again(server, monkeypatch, caches):
    serve_torchvision(server, monkeypatch, "squeezenet1_1", stored(torchvision.models.squeezenet1_1().state_dict()))
    server.hub(RESNET, "model.safetensors", save(timm.create_model("test_resnet").state_dict()))
    for name in (RESNET, "squeezenet1_1"):
        digest = pretrained(name).digest
        for path in caches.rglob("*"):
            if path.is_file() and path.stat().st_size > 10_000:
                path.write_bytes(path.read_bytes()[:10_000])
        with pytest.raises(NetworkError) as error:
            pretrained(name)
        file = Path(sentence(error).partition("delete ")[2].removesuffix(" to have it fetched again."))
        assert file.is_relative_to(caches)
        file.unlink()
        assert pretrained(name).digest == digest


def test_without_a_connection_it_says_so_and_names_what_is_here(server, monkeypatch):
    point_hub_at(monkeypatch, f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(NetworkError) as error:
        pretrained("timm/resnet18.a1_in1k")
    text = sentence(error)
    assert "timm/resnet18.a1_in1k" in text
    assert "could not be fetched (huggingface.co/timm/resnet18.a1_in1k: Connection refused)" in text
    assert "no other network is here yet" in text
    assert "the bundled efficientnet_lite0 and flowers always work" in text

    point_hub_at(monkeypatch, server.root)
    server.hub(RESNET, "model.safetensors", save(filled(timm.create_model("test_resnet")).state_dict()))
    serve_torchvision(server, monkeypatch, "squeezenet1_1", stored(torchvision.models.squeezenet1_1().state_dict()))
    assert cached_names() == []
    pretrained(RESNET)
    pretrained("squeezenet1_1")
    assert cached_names() == ["torchvision/squeezenet1_1", RESNET]

    monkeypatch.setattr(get_model_weights("resnet18").DEFAULT.value, "url",
                        f"http://127.0.0.1:{closed_port()}/resnet18-f37072fd.pth")
    with pytest.raises(NetworkError) as error:
        pretrained("resnet18")
    assert "already here are torchvision/squeezenet1_1, timm/test_resnet.r160_in1k, and the bundled" in sentence(error)


def test_a_network_that_nobody_trained_is_a_sentence(server):
    with pytest.raises(NetworkError, match="no trained weights") as error:
        pretrained("timm/darknet17")
    sentence(error)
    assert server.requests == []


def test_weights_that_left_their_place_are_a_sentence(server, monkeypatch):
    monkeypatch.setattr(get_model_weights("resnet18").DEFAULT.value, "url", f"{server.root}/resnet18-f37072fd.pth")
    for name in ("resnet18", "timm/resnet18"):
        with pytest.raises(NetworkError, match="are not where they are said to be") as error:
            pretrained(name)
        sentence(error)
