"""The live app's build: what is in the folder, and what is said where it cannot be built."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
import zlib
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from explorer.errors import ExplorerError
from explorer.live.app.__main__ import main
from explorer.live.app.build import PAGE, build
from explorer.live.app.runtime import FILES, VERSION, runtime_files

APP = Path(__file__).resolve().parents[2] / "explorer" / "live" / "app"


def package(folder: Path) -> Path:
    """A folder with the names of the package's files, and nothing of use in them."""
    for path in FILES.values():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(f"// {path}".encode())
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("live")
    build(folder / "app", package(folder / "package"))
    return folder / "app"


def npm(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for npm, alone on the path beside a shell's commands."""
    file = folder / "npm"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_the_folder_has_all_that_a_host_needs_and_the_licences(built):
    names = {str(path.relative_to(built)) for path in built.rglob("*") if path.is_file()}
    pages = {path.name for pattern in PAGE for path in APP.glob(pattern)}
    assert names == pages | {
        "backbone.onnx.zlib", "onnxruntime.js", "onnxruntime.wasm.zlib", "network.json", "panel-scripts.js",
        "panel-styles.css",
        "licenses/Apache-2.0.txt", "licenses/torchvision-BSD-3-Clause.txt", "licenses/onnxruntime-LICENSE.txt",
        "licenses/onnxruntime-ThirdPartyNotices.txt",
    }
    assert "MIT License" in (built / "licenses/onnxruntime-LICENSE.txt").read_text()
    assert zlib.decompress((built / "onnxruntime.wasm.zlib").read_bytes()).startswith(b"// dist/")
    assert (built / "onnxruntime.js").read_bytes() == b"// dist/ort.wasm.bundle.min.mjs"


@pytest.mark.parametrize("size", [(224, 224), (96, 288)])
def test_the_backbone_is_one_file_for_inputs_of_any_size(built, network, size):
    session = onnxruntime.InferenceSession(zlib.decompress((built / "backbone.onnx.zlib").read_bytes()))
    x = torch.linspace(-1, 1, 3 * size[0] * size[1]).sin().view(1, 3, *size)
    maps = session.run(["maps"], {"x": x.numpy()})[0]
    with torch.no_grad():
        np.testing.assert_allclose(maps, network.backbone(x).numpy(), atol=1e-4)


def test_the_page_is_told_how_a_photo_is_framed(built, network):
    data = json.loads((built / "network.json").read_text())
    assert data["preprocessing"]["size"] == network.preprocessing.size
    assert data["preprocessing"]["mean"] == list(network.preprocessing.mean)
    assert data["names"] == list(network.class_names)


def test_a_service_worker_keeps_all_files_of_one_build_but_the_licences(built):
    script = (built / "offline.js").read_text()
    version, names = re.match(r'const VERSION = "(\w{16})", FILES = (.*);\n//', script).groups()
    files = {path.name for path in built.iterdir() if path.is_file()}
    assert set(json.loads(names)) == files - {"offline.js"} | {"./"}
    assert version not in (APP / "offline.js").read_text()


def test_the_page_loads_nothing_from_elsewhere():
    for path in (path for pattern in PAGE for path in APP.glob(pattern) if path.suffix != ".txt"):
        assert "://" not in path.read_text(), path.name


def test_without_npm_one_sentence_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([str(tmp_path / "app")]) == 2
    assert capsys.readouterr().err == (
        "The live app is built with npm, which was not found; install Node.js, or name an unpacked onnxruntime-web "
        f"{VERSION} with --onnxruntime FOLDER.\n")
    assert not (tmp_path / "app").exists()


def test_npm_s_own_reason_is_passed_on(tmp_path, monkeypatch):
    npm(tmp_path, "echo 'network is down' >&2; exit 1", monkeypatch)
    with pytest.raises(ExplorerError, match=r"could not fetch onnxruntime-web .* \(network is down\); check the conn"):
        runtime_files()


def test_an_archive_other_than_the_one_that_was_reviewed_is_refused(tmp_path, monkeypatch):
    with tarfile.open(tmp_path / "other", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("package/dist/x"), io.BytesIO())
    # npm pack NAME --pack-destination FOLDER --silent
    npm(tmp_path, f'cp "{tmp_path}/other" "$4/onnxruntime-web.tgz"', monkeypatch)
    with pytest.raises(ExplorerError, match="it is another file than the one that was reviewed"):
        runtime_files()


def test_a_folder_that_is_no_package_is_named(tmp_path):
    with pytest.raises(ExplorerError, match=r"is no unpacked onnxruntime-web .*: No such file or directory, .*\.mjs"):
        runtime_files(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "app").write_text("a file")
    assert main([str(tmp_path / "app"), "--onnxruntime", str(package(tmp_path / "package"))]) == 2
    assert capsys.readouterr().err.startswith(f"The folder '{tmp_path / 'app'}' cannot be written (")


def test_a_build_says_where_it_is_and_how_to_look_at_it(tmp_path, capsys):
    assert main([str(tmp_path / "app"), "--onnxruntime", str(package(tmp_path / "package"))]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{tmp_path / 'app'}: ")
    assert "-m http.server --bind 127.0.0.1 --directory" in out
