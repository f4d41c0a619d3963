"""Weights from a server: whole and of the right hash or not at all, from the cache without one, never unpickled."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
import torchvision
from huggingface_hub import constants
from safetensors.torch import save
from torchvision.models import get_model_weights

from explorer.errors import NetworkError, StoppedError
from explorer.networks.loading import fetching
from explorer.networks.loading.fetching import (
    NoConnectionError,
    NoSuchFileError,
    download,
    fetch_address,
    fetch_from_hub,
)
from explorer.networks.loading.known_networks import torchvision_names
from explorer.networks.loading.pretrained import cached_names, pretrained

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BODY = bytes(range(256)) * 4000  # 1 MB: several chunks


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Server:
    """What a web server has, and what it was asked. As a Hugging Face hub it sends people to another host for bytes."""

    port: int
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    truncate: bool = False
    silent: bool = False
    status: int = 404
    etag: str | None = None  # instead of the right one
    renamed: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def hub(self, repository: str, name: str, data: bytes) -> None:
        self.files[f"/{repository}/resolve/main/{name}"] = data

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append((request.command, request.path))
        if self.silent:
            time.sleep(2)
            return
        data = self.files.get(request.path.removeprefix("/bytes"))
        if request.path in self.renamed:
            request.send_response(307)
            request.send_header("Location", self.renamed[request.path])
            request.send_header("Content-Length", "0")
            request.end_headers()
        elif data is None:
            request.send_response(self.status)
            if self.status == 404:
                request.send_header("X-Error-Code", "EntryNotFound")
            request.send_header("Content-Length", "0")
            request.end_headers()
        elif "/resolve/" in request.path and not request.path.startswith("/bytes"):
            request.send_response(302)
            request.send_header("X-Repo-Commit", COMMIT)
            request.send_header("X-Linked-Etag", f'"{self.etag or sha256(data)}"')
            request.send_header("X-Linked-Size", str(len(data)))
            request.send_header("Location", f"http://localhost:{self.port}/bytes{request.path}")
            request.send_header("Content-Length", "0")
            request.end_headers()
        else:
            request.send_response(200)
            request.send_header("Content-Length", str(len(data)))
            request.end_headers()
            if request.command == "GET":
                request.wfile.write(data[:len(data) * 2 // 3] if self.truncate else data)


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """Empty caches; a hub that is not there, unless a test starts one."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    point_hub_at(monkeypatch, f"http://127.0.0.1:{closed_port()}")
    for each in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(each, raising=False)
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


# One file from one address.


def test_a_file_arrives_whole_and_progress_rises_to_the_total(server, tmp_path):
    server.files["/a/net-x.pth"] = BODY
    seen = []
    target = tmp_path / "new" / "folder" / "net.pth"
    digest = download(f"{server.root}/a/net-x.pth", target, sha256(BODY)[:8], lambda *at: seen.append(at))
    assert target.read_bytes() == BODY
    assert digest == sha256(BODY)
    done = [at for at, _ in seen]
    assert len(done) > 2
    assert done == sorted(set(done))
    assert seen[-1] == (len(BODY), len(BODY))
    assert {total for _, total in seen} == {len(BODY)}
    assert files_in(tmp_path) == {"net.pth"}


def test_another_hash_keeps_nothing_and_what_was_there_stays(server, tmp_path):
    server.files["/net.pth"] = BODY
    target = tmp_path / "net.pth"
    target.write_bytes(b"old")
    with pytest.raises(NetworkError) as error:
        download(f"{server.root}/net.pth", target, "0" * 8)
    assert sha256(BODY)[:12] in sentence(error)
    assert "expected 00000000" in sentence(error)
    assert target.read_bytes() == b"old"
    assert files_in(tmp_path) == {"net.pth"}


def test_a_download_that_breaks_off_keeps_nothing(server, tmp_path):
    server.files["/net.pth"], server.truncate = BODY, True
    # With the hash of what arrives: it is refused for being short.
    part = BODY[:len(BODY) * 2 // 3]
    with pytest.raises(NetworkError, match=r"broke off after 0\.7 of 1\.0 MB") as error:
        download(f"{server.root}/net.pth", tmp_path / "net.pth", sha256(part))
    sentence(error)
    assert files_in(tmp_path) == set()


def test_what_a_server_answers_is_told(server, tmp_path):
    with pytest.raises(NoSuchFileError, match="answered 404") as error:
        download(f"{server.root}/none.pth", tmp_path / "net.pth", "")
    sentence(error)
    server.status = 503
    with pytest.raises(NetworkError, match="answered 503") as error:
        download(f"{server.root}/none.pth", tmp_path / "net.pth", "")
    assert not isinstance(error.value, NoSuchFileError | NoConnectionError)
    assert files_in(tmp_path) == set()


def test_a_server_that_is_not_there_is_told_at_once(tmp_path):
    start = time.monotonic()
    with pytest.raises(NoConnectionError, match="Connection refused") as error:
        download(f"http://127.0.0.1:{closed_port()}/net.pth", tmp_path / "net.pth", "")
    sentence(error)
    with pytest.raises(NoConnectionError, match=r"no-such-host\.invalid"):
        download("http://no-such-host.invalid/net.pth", tmp_path / "net.pth", "")
    assert time.monotonic() - start < 5


def test_a_server_that_says_nothing_is_not_waited_for(server, tmp_path, monkeypatch):
    assert fetching.CONNECTING <= 10
    monkeypatch.setattr(fetching, "CONNECTING", 0.2)
    server.silent = True
    start = time.monotonic()
    with pytest.raises(NoConnectionError, match="no answer within") as error:
        download(f"{server.root}/net.pth", tmp_path / "net.pth", "")
    sentence(error)
    with pytest.raises(NoConnectionError, match="no answer within"):
        fetch_from_hub("timm/any", ("model.safetensors",))
    assert time.monotonic() - start < 1.5


def test_what_the_progress_raises_stops_the_download_and_leaves_nothing(server, tmp_path):
    server.files["/net.pth"] = BODY

    def stop(done, total):
        raise StoppedError("Stopped.")

    with pytest.raises(StoppedError):
        download(f"{server.root}/net.pth", tmp_path / "net.pth", sha256(BODY), stop)
    assert files_in(tmp_path) == set()


def test_a_folder_that_is_a_file_is_told(server, tmp_path):
    server.files["/net.pth"] = BODY
    (tmp_path / "taken").write_text("")
    with pytest.raises(NetworkError, match="cannot be written to") as error:
        download(f"{server.root}/net.pth", tmp_path / "taken" / "net.pth", sha256(BODY))
    sentence(error)


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", ""])
def test_only_the_web_is_read(address, tmp_path):
    with pytest.raises(NetworkError, match="expected http or https"):
        download(address, tmp_path / "net.pth", "")
    assert files_in(tmp_path) == set()


# torch's hub folder.


def test_an_address_is_asked_once_and_then_the_folder(server, caches):
    path = f"/m/net-{sha256(BODY)[:8]}.pth"
    server.files[path] = BODY
    for _ in range(2):
        file, digest = fetch_address(server.root + path)
        assert file == caches / "torch" / "hub" / "checkpoints" / Path(path).name
        assert digest == sha256(file.read_bytes()) == sha256(BODY)
    assert server.asked == [("GET", path)]


def test_a_damaged_file_is_fetched_again(server, caches):
    path = f"/m/net-{sha256(BODY)[:8]}.pth"
    server.files[path] = BODY
    file, _ = fetch_address(server.root + path)
    file.write_bytes(BODY[:-1] + b"x")
    assert fetch_address(server.root + path) == (file, sha256(BODY))
    assert file.read_bytes() == BODY
    file.write_bytes(b"")
    server.files.clear()
    with pytest.raises(NetworkError):
        fetch_address(server.root + path)


@pytest.mark.parametrize("name", ["net.pth", "IN22K-vit.g.16-600e.pth.tar", "net-zzzzzzzz.pth"])
def test_a_file_that_cannot_be_checked_is_not_fetched(server, name):
    server.files[f"/{name}"] = BODY
    with pytest.raises(NetworkError, match="cannot be checked") as error:
        fetch_address(f"{server.root}/{name}")
    sentence(error)
    assert server.asked == []


def test_every_weight_of_torchvision_can_be_checked_by_its_name():
    for architecture in torchvision_names():
        for weights in get_model_weights(architecture):
            assert fetching._DIGITS.search(weights.url.rsplit("/", 1)[1]), weights.url


def test_two_who_want_the_same_file_fetch_it_once(server):
    path = f"/m/net-{sha256(BODY)[:8]}.pth"
    server.files[path] = BODY
    found = []
    threads = [threading.Thread(target=lambda: found.append(fetch_address(server.root + path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert server.asked == [("GET", path)]


# The Hugging Face cache.


def test_a_file_of_the_hub_lies_where_huggingface_hub_itself_finds_it(server, caches):
    server.hub("timm/net", "model.safetensors", BODY)
    seen = []
    file, digest = fetch_from_hub("timm/net", ("model.safetensors",), lambda *at: seen.append(at))
    assert digest == sha256(BODY)
    assert file.read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY))
    theirs = huggingface_hub.hf_hub_download("timm/net", "model.safetensors", cache_dir=caches / "hub",
                                             local_files_only=True)
    assert Path(theirs) == file
    scanned = huggingface_hub.scan_cache_dir(caches / "hub")
    assert not scanned.warnings
    (repository,) = scanned.repos
    assert (repository.repo_id, repository.size_on_disk) == ("timm/net", len(BODY))


def test_the_hub_is_not_asked_for_what_is_here(server):
    server.hub("timm/net", "model.safetensors", BODY)
    first = fetch_from_hub("timm/net", ("model.safetensors", "pytorch_model.bin"))
    count = len(server.asked)
    assert fetch_from_hub("timm/net", ("model.safetensors", "pytorch_model.bin")) == first
    assert len(server.asked) == count


def test_what_huggingface_hub_fetched_is_used(server, caches):
    server.hub("timm/net", "model.safetensors", BODY)
    theirs = huggingface_hub.hf_hub_download("timm/net", "model.safetensors", cache_dir=caches / "hub",
                                             endpoint=server.root)
    count = len(server.asked)
    assert fetch_from_hub("timm/net", ("model.safetensors",)) == (Path(theirs), sha256(BODY))
    assert len(server.asked) == count


def test_safetensors_first_and_the_older_file_where_there_are_none(server):
    server.hub("timm/old", "pytorch_model.bin", BODY)
    file, _ = fetch_from_hub("timm/old", ("model.safetensors", "pytorch_model.bin"))
    assert file.name == "pytorch_model.bin"
    server.hub("timm/new", "pytorch_model.bin", BODY)
    server.hub("timm/new", "model.safetensors", BODY[1:])
    file, digest = fetch_from_hub("timm/new", ("model.safetensors", "pytorch_model.bin"))
    assert (file.name, digest) == ("model.safetensors", sha256(BODY[1:]))
    with pytest.raises(NoSuchFileError) as error:
        fetch_from_hub("timm/none", ("model.safetensors", "pytorch_model.bin"))
    sentence(error)


def test_a_repository_that_was_renamed_is_followed(server):
    server.hub("timm/new", "model.safetensors", BODY)
    server.renamed["/timm/old/resolve/main/model.safetensors"] = "/timm/new/resolve/main/model.safetensors"
    file, digest = fetch_from_hub("timm/old", ("model.safetensors",))
    assert (file.read_bytes(), digest) == (BODY, sha256(BODY))
    server.renamed["/timm/a/resolve/main/x"] = "/timm/a/resolve/main/x?"
    server.renamed["/timm/a/resolve/main/x?"] = "/timm/a/resolve/main/x"
    with pytest.raises(NetworkError, match="sha256"):
        fetch_from_hub("timm/a", ("x",))
    server.renamed["/timm/b/resolve/main/x"] = "file:///etc/passwd"
    with pytest.raises(NetworkError, match="expected http or https"):
        fetch_from_hub("timm/b", ("x",))


def test_nothing_but_the_file_is_asked_of_the_hub(server):
    server.hub("timm/net", "model.safetensors", BODY)
    fetch_from_hub("timm/net", ("model.safetensors",))
    path = "/timm/net/resolve/main/model.safetensors"
    assert server.asked == [("HEAD", path), ("GET", f"/bytes{path}")]


def test_a_blob_that_was_changed_is_fetched_again(server, caches):
    server.hub("timm/net", "model.safetensors", BODY)
    file, _ = fetch_from_hub("timm/net", ("model.safetensors",))
    file.resolve().write_bytes(b"something else")
    assert fetch_from_hub("timm/net", ("model.safetensors",)) == (file, sha256(BODY))
    assert file.read_bytes() == BODY


@pytest.mark.parametrize("etag", ["0" * 64, "f" * 40, "../../../../evil", ""])
def test_bytes_of_another_hash_or_of_none_are_not_kept(server, caches, etag):
    server.hub("timm/net", "model.safetensors", BODY)
    server.etag = etag or "none"
    with pytest.raises(NetworkError, match="sha256") as error:
        fetch_from_hub("timm/net", ("model.safetensors",))
    sentence(error)
    assert files_in(caches) == set()


def test_a_hub_download_that_breaks_off_keeps_nothing(server, caches):
    server.hub("timm/net", "model.safetensors", BODY)
    server.truncate = True
    with pytest.raises(NetworkError, match="broke off"):
        fetch_from_hub("timm/net", ("model.safetensors",))
    assert files_in(caches) == set()


def test_a_hub_that_refuses_is_told_and_not_taken_for_absent(server):
    server.status = 403
    with pytest.raises(NetworkError, match="answered 403") as error:
        fetch_from_hub("timm/net", ("model.safetensors", "pytorch_model.bin"))
    sentence(error)
    assert not isinstance(error.value, NoSuchFileError | NoConnectionError)


def test_the_offline_switch_is_obeyed(server, monkeypatch):
    server.hub("timm/net", "model.safetensors", BODY)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(NoConnectionError, match="HF_HUB_OFFLINE is set"):
        fetch_from_hub("timm/net", ("model.safetensors",))
    assert server.asked == []


# Networks.

RESNET = "timm/test_resnet.r160_in1k"


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
    seen = []
    blueprint = pretrained(RESNET, lambda *at: seen.append(at))
    same_answers(blueprint.module, original, 160)
    assert blueprint.digest == sha256(data)
    assert blueprint.origin == "timm r160_in1k, Hugging Face timm/test_resnet.r160_in1k"
    assert seen[-1] == (len(data), len(data))
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
    assert {each.dtype for each in pretrained(RESNET).module.parameters()} == {torch.float32}


class Opener:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_is_never_run(server, monkeypatch, tmp_path):
    hostile = Opener(tmp_path / "run")
    for data in (stored({"weight": hostile}), pickle.dumps(hostile)):
        server.hub(RESNET, "pytorch_model.bin", data)
        serve_torchvision(server, monkeypatch, "squeezenet1_1", data)
        for name in (RESNET, "torchvision/squeezenet1_1"):
            with pytest.raises(NetworkError, match="expected its weights alone") as error:
                pretrained(name)
            sentence(error)
            assert not (tmp_path / "run").exists()
        for each in (tmp_path / "hub").rglob("*"):
            if each.is_file() or each.is_symlink():
                each.unlink()
    pickle.loads(pickle.dumps(hostile))
    assert (tmp_path / "run").exists()  # so it does run where it is let


@pytest.mark.parametrize("data", [b"", b"not safetensors", BODY, save({"other": torch.ones(3)})])
def test_a_file_that_does_not_fit_is_told_in_a_sentence(server, data):
    server.hub(RESNET, "model.safetensors", data)
    with pytest.raises(NetworkError, match=r"model\.safetensors of timm/test_resnet") as error:
        pretrained(RESNET)
    sentence(error)


def test_without_a_connection_it_says_so_and_names_what_is_here(server, monkeypatch):
    point_hub_at(monkeypatch, f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(NetworkError) as error:
        pretrained("timm/resnet18.a1_in1k")
    text = sentence(error)
    assert "timm/resnet18.a1_in1k" in text
    assert "no connection to 127.0.0.1" in text
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


def test_a_network_that_nobody_trained_is_told(server):
    with pytest.raises(NetworkError, match="no trained weights") as error:
        pretrained("timm/darknet17")
    sentence(error)
    assert server.asked == []


def test_weights_that_left_their_place_are_told(server, monkeypatch):
    monkeypatch.setattr(get_model_weights("resnet18").DEFAULT.value, "url", f"{server.root}/resnet18-f37072fd.pth")
    for name in ("resnet18", "timm/resnet18"):
        with pytest.raises(NetworkError, match="are not where they are said to be") as error:
            pretrained(name)
        sentence(error)
