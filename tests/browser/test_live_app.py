"""The live app in a browser: a photo is framed there as in Python, read as in Python, run and handed to the page.

Without npm's package a stand-in takes ONNX Runtime's place; POOLSCOPE_ONNXRUNTIME_WEB names an unpacked one.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import Page, expect

from benchmarks.live_app import dropped, served
from explorer import analyse, read_image
from explorer.errors import ExplorerError
from explorer.framing import Preprocessing, frame
from explorer.live.app.build import build
from explorer.live.app.runtime import FILES
from explorer.sections.answers import answer_sentence

APP = Path(__file__).resolve().parents[2] / "explorer" / "live" / "app"
PACKAGE = os.environ.get("POOLSCOPE_ONNXRUNTIME_WEB")
LITE0 = {"size": 224, "crop_ratio": 0.875, "mean": (127 / 255,) * 3, "std": (128 / 255,) * 3,
         "interpolation": "bicubic", "stride": 32, "order": "rgb", "fixed": False}
FRAME = """async ({ width, height, preprocessing, kind, side }) => {
  const { frame } = await import("./framing.js");
  const response = await fetch("pixels", { cache: "no-store" });
  const data = new Uint8ClampedArray(await response.arrayBuffer());
  try {
    const { input, shape, framing } = frame({ data, width, height }, preprocessing, kind, side);
    let text = "";
    for (const byte of new Uint8Array(input.buffer)) text += String.fromCharCode(byte);
    return { input: btoa(text), shape, framing };
  } catch (error) { return { error: error.message }; }
}"""
READ = """async (bytes) => {
  const { readPhoto } = await import("./photo.js");
  try {
    const photo = await readPhoto(new Blob([Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0))]));
    const context = new OffscreenCanvas(photo.width, photo.height).getContext("2d");
    const { frame } = await import("./framing.js");
    const plain = { size: Math.min(photo.width, photo.height), crop_ratio: 1, mean: [0, 0, 0], std: [1, 1, 1],
      interpolation: "nearest", stride: 1, order: "rgb", fixed: false };
    const { input, framing } = frame(photo, plain, "whole");
    return { size: framing.photo_size, pixels: Array.from(input, (value) => Math.round(value * 255)) };
  } catch (error) { return { error: error.message }; }
}"""
# It gives maps of the input's mean, of two channels, so that what arrives can be checked.
STAND_IN = """
export const env = { wasm: {} };
export class Tensor { constructor(type, data, dims) { Object.assign(this, { data, dims }); } }
export const InferenceSession = { create: async (bytes) => ({ run: async ({ x }) => {
  const [, , h, w] = x.dims, mean = x.data.reduce((sum, value) => sum + value, 0) / x.data.length;
  const dims = [1, 2, h / 32, w / 32], data = new Float32Array(dims[1] * dims[2] * dims[3]).fill(mean);
  data[0] = env.wasm.numThreads;
  return { maps: { data, dims, dispose() {} } };
} }) };
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The live app with a stand-in for ONNX Runtime."""
    folder = tmp_path_factory.mktemp("live")
    for name, path in FILES.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(STAND_IN if name == "onnxruntime.js" else "")
    build(folder / "app", folder)
    return folder / "app"


@pytest.fixture(scope="module")
def home(built) -> Iterator[str]:
    with served(built) as address:
        yield address


@pytest.fixture
def page(windows) -> Iterator[Page]:
    """A window in which nothing may go wrong that a test does not expect: see `trouble`."""
    window = windows.open(1280, 800, "light", 1, False)
    window.trouble = []
    window.on("console", lambda message: message.type == "error" and window.trouble.append(message.text))
    window.on("pageerror", lambda error: window.trouble.append(str(error)))
    yield window
    assert window.trouble == []
    window.close()


@pytest.fixture(scope="module")
def framed(windows, built, home) -> Iterator[Callable[..., dict[str, Any]]]:
    """`framed(pixels, preprocessing, kind, side)`: what framing.js makes of (height, width, 4) uint8."""
    window = windows.open(1280, 800, "light", 1, False)
    window.goto(f"{home}/framing.js")

    def run(pixels: np.ndarray, preprocessing: dict, kind: str, side: int | None = None) -> dict[str, Any]:
        (built / "pixels").write_bytes(pixels.tobytes())
        result = window.evaluate(FRAME, {"width": pixels.shape[1], "height": pixels.shape[0],
                                         "preprocessing": preprocessing, "kind": kind, "side": side})
        if "input" in result:
            result["input"] = np.frombuffer(base64.b64decode(result["input"]), np.float32).reshape(result["shape"])
        return result

    yield run
    window.close()


def noise(width: int, height: int, transparent: bool = False) -> np.ndarray:
    """(height, width, 4) uint8: every grey level beside every other, which no filter smooths over."""
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 4), dtype=np.uint8)
    if not transparent:
        pixels[..., 3] = 255
    return pixels


def by_python(pixels: np.ndarray, preprocessing: dict, kind: str, side: int | None = None):
    return frame(read_image(Image.fromarray(pixels)), Preprocessing(**preprocessing), kind, side)


def levels(result: dict[str, Any], x: torch.Tensor, preprocessing: dict) -> np.ndarray:
    """By how many grey levels each value of an input differs."""
    std = 255 * np.array(preprocessing["std"]).reshape(1, -1, 1, 1)
    return np.abs(result["input"] - x.numpy()) * std


def same_framing(result: dict[str, Any], framing) -> None:
    assert {key: tuple(value) if isinstance(value, list) else value for key, value in result["framing"].items()} == {
        "kind": framing.kind, "photo_size": framing.photo_size, "input_size": framing.input_size, "seen": framing.seen}


SIZES = [(640, 480), (333, 517), (97, 601), (1203, 224), (224, 224), (257, 255), (50, 31), (1, 9), (1500, 1125)]


@pytest.mark.parametrize("kind", ["crop", "whole", "squash"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_a_photo_of_any_size_becomes_python_s_input_to_the_grey_level(framed, size, kind):
    pixels = noise(*size)
    result, (x, framing) = framed(pixels, LITE0, kind), by_python(pixels, LITE0, kind)
    same_framing(result, framing)
    assert levels(result, x, LITE0).max() == 0


@pytest.mark.parametrize("interpolation", ["nearest", "box", "bilinear", "hamming", "lanczos"])
@pytest.mark.parametrize(("size", "kind"), [((640, 480), "crop"), ((333, 517), "squash"), ((50, 31), "whole")])
def test_every_filter_of_pillow_s_gives_its_grey_levels(framed, interpolation, size, kind):
    """One in 10,000 may be a level off: cosines are rounded otherwise."""
    preprocessing, pixels = LITE0 | {"interpolation": interpolation}, noise(*size)
    off = levels(framed(pixels, preprocessing, kind), by_python(pixels, preprocessing, kind)[0], preprocessing)
    assert off.max() < 1.01
    assert (off > 0.5).mean() <= 1e-4


def test_a_photo_so_long_that_its_middle_alone_is_resized_is_so_here_too(framed):
    pixels = noise(30, 5000)
    result, (x, framing) = framed(pixels, LITE0, "crop"), by_python(pixels, LITE0, "crop")
    same_framing(result, framing)
    assert levels(result, x, LITE0).max() == 0


@pytest.mark.parametrize("changes", [
    {"mean": (0.4,), "std": (0.3,)}, {"order": "bgr", "mean": (0.1, 0.2, 0.3), "std": (0.3, 0.2, 0.1)},
    {"size": 64, "crop_ratio": 1.0, "stride": 8}, {"size": 299, "crop_ratio": 0.9, "fixed": True},
], ids=["grey", "bgr", "small", "fixed"])
def test_networks_of_other_preprocessing_are_framed_too(framed, changes):
    preprocessing, pixels = LITE0 | changes, noise(301, 200, transparent=True)
    for kind in ("crop", "squash"):
        result, (x, framing) = framed(pixels, preprocessing, kind), by_python(pixels, preprocessing, kind)
        same_framing(result, framing)
        np.testing.assert_array_equal(result["input"], x.numpy())


@pytest.mark.parametrize("side", [96, 288, 352, 640])
def test_an_input_of_another_size_is_python_s_too(framed, side):
    pixels = noise(500, 375)
    result, (x, framing) = framed(pixels, LITE0, "whole", side), by_python(pixels, LITE0, "whole", side)
    same_framing(result, framing)
    assert levels(result, x, LITE0).max() == 0


@pytest.mark.parametrize(("size", "kind", "side", "changes"), [
    ((20, 20), "zoom", None, {}), ((4000, 10), "whole", None, {}), ((20, 20), "crop", 95, {}),
    ((20, 20), "crop", 641, {"size": 700}), ((20, 20), "whole", None, {"fixed": True}),
    ((20, 20), "crop", 96, {"fixed": True}),
])
def test_what_python_refuses_is_refused_in_the_same_sentence(framed, size, kind, side, changes):
    pixels, preprocessing = noise(*size), LITE0 | changes
    with pytest.raises(ExplorerError) as refusal:
        by_python(pixels, preprocessing, kind, side)
    assert framed(pixels, preprocessing, kind, side) == {"error": str(refusal.value)}


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(Image.fromarray(noise(24, 16)).convert("RGB"), "JPEG", quality=95, exif=exif)


def files() -> dict[str, bytes]:
    """Small photos of every sort that differs in how it is read."""
    clear, plain = Image.fromarray(noise(24, 16, transparent=True)), Image.fromarray(noise(24, 16)).convert("RGB")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"tmp!", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"tmp!", b"bXYZ", 1)
    gamma = PngInfo()
    gamma.add(b"gAMA", (100_000).to_bytes(4, "big"))
    return {
        **{f"turned {n}": turned(n) for n in range(1, 9)},
        "transparent": encoded(clear, "PNG"), "palette": encoded(plain.quantize(16), "PNG"),
        "grey": encoded(plain.convert("L"), "PNG"), "profile": encoded(plain, "PNG", icc_profile=swapped),
        "gamma": encoded(plain, "PNG", pnginfo=gamma), "webp": encoded(plain, "WEBP", lossless=True),
        "bmp": encoded(plain, "BMP"), "gif": encoded(plain.quantize(16), "GIF"),
    }


@pytest.mark.parametrize("name", files())
def test_a_file_is_read_as_python_reads_it(page, home, name):
    """A canvas keeps half-transparent colours in 8 bits after they were multiplied: one level may be lost."""
    page.goto(f"{home}/photo.js")
    result, expected = page.evaluate(READ, base64.b64encode(files()[name]).decode()), read_image(files()[name])
    assert tuple(result["size"]) == expected.size
    off = np.array(result["pixels"]).reshape(3, expected.height, expected.width) - np.array(expected).transpose(2, 0, 1)
    assert np.abs(off).max() <= (1 if name == "transparent" else 0)


@pytest.mark.parametrize(("data", "sentence"), [
    (b"", "The photo is empty (0 bytes); expected JPEG, "),
    (b"%PDF-1.7 and so on", "This is a file of the kind PDF; expected JPEG, "),
    (b"II*\x00\x08\x00\x00\x00", "This is a file of the kind TIFF; expected JPEG, "),
    (b"hello", "This is not a photo; expected JPEG, "),
    (b"\x89PNG\r\n\x1a\n and no more", "This PNG file is damaged, cut short or of an unusual sort; expected JPEG, "),
])
def test_what_is_no_photo_is_refused_in_one_sentence(page, home, data, sentence):
    page.goto(f"{home}/photo.js")
    assert page.evaluate(READ, base64.b64encode(data).decode())["error"].startswith(sentence)


# The page.


def test_a_chosen_photo_is_framed_run_and_opened(page, home, examples, network):
    page.goto(home)
    result = dropped(page, "cat.png", encoded(examples["cat"], "PNG"))
    x, framing = frame(examples["cat"], network.preprocessing)
    same_framing(result, framing)
    assert result["shape"] == [2, 7, 7]
    assert result["maps"][0, 0, 0] == 1  # threads
    assert float(result["maps"][1, 3, 3]) == pytest.approx(float(x.mean()), abs=1e-4)
    expect(page.locator("#says")).to_contain_text("input 224 x 224 px, feature maps 2 x 7 x 7")


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_photo_can_be_dropped_and_pasted(page, home, examples, way):
    page.goto(home)
    page.evaluate("window.poolscopeLive = {open() {}}")
    page.evaluate("""async ([way, bytes]) => {
      const data = new DataTransfer(), file = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0));
      data.items.add(new File([file], "rocket.png", { type: "image/png" }));
      document.body.dispatchEvent(way === "drop" ? new DragEvent("drop", { dataTransfer: data, bubbles: true })
        : new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
    }""", [way, base64.b64encode(encoded(examples["rocket"], "PNG")).decode()])
    expect(page.locator("#says")).to_contain_text("feature maps 2 x 7 x 7")


def test_what_is_no_photo_leaves_one_sentence(page, home):
    page.goto(home)
    page.set_input_files("#file", {"name": "a.pdf", "mimeType": "", "buffer": b"%PDF-1.7"})
    expect(page.locator("#says")).to_contain_text("This is a file of the kind PDF; expected JPEG")


def test_neither_the_page_nor_its_worker_can_send_a_photo_elsewhere(page, home, tmp_path):
    """The worker holds the page's own policy; the page's test of trouble would else see what the browser refused."""
    page.goto(home)
    expect(page.locator("#loading")).to_have_text("The network is ready.")
    with served(tmp_path) as elsewhere:
        send = f"fetch('{elsewhere}', {{ mode: 'no-cors' }}).then(() => 'sent', () => 'refused')"
        assert page.evaluate(send) == "refused"
        assert page.workers[0].evaluate(send) == "refused"
    refused = [text for text in page.trouble if "Content Security Policy" in text or "refused" in text.lower()]
    assert refused
    page.trouble.clear()


def test_after_a_first_visit_the_page_works_without_a_connection(windows, built, examples):
    """The server is gone: what is not kept cannot come."""
    window = windows.open(1280, 800, "light", 1, False)
    with served(built) as address:
        window.goto(address)
        window.evaluate("poolscopeApp.ready.then(() => navigator.serviceWorker.ready)")
    window.reload()
    expect(window.locator("#loading")).to_have_text("The network is ready.")
    assert dropped(window, "cat.png", encoded(examples["cat"], "PNG"))["shape"] == [2, 7, 7]
    window.close()


def test_a_folder_without_its_network_says_so(page, built, tmp_path):
    for path in built.iterdir():
        if path.is_file() and path.name != "backbone.onnx.zlib":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with served(tmp_path) as address:
        page.goto(address)
        expect(page.locator("#loading")).to_have_text(
            "The network could not be loaded: the file backbone.onnx.zlib was not found (404); reload the page to try "
            "again.")
    page.trouble.clear()  # the browser's own word on it


@pytest.mark.skipif(not PACKAGE, reason="POOLSCOPE_ONNXRUNTIME_WEB names no unpacked package onnxruntime-web")
def test_the_feature_maps_are_python_s(page, tmp_path, examples, network):
    build(tmp_path, Path(PACKAGE or ""))
    with served(tmp_path) as address:
        page.goto(address)
        for name, photo in examples.items():
            result = dropped(page, f"{name}.png", encoded(photo, "PNG"))
            with torch.no_grad():
                expected = network.backbone(frame(photo, network.preprocessing)[0])[0]
            np.testing.assert_allclose(result["maps"].numpy(), expected.numpy(), atol=1e-4)


@pytest.mark.skipif(not PACKAGE, reason="POOLSCOPE_ONNXRUNTIME_WEB names no unpacked package onnxruntime-web")
def test_an_own_photo_is_explained_in_the_panel(page, tmp_path, examples, network):
    build(tmp_path, Path(PACKAGE or ""))
    with served(tmp_path) as address:
        page.goto(address)
        page.set_input_files("#file", {"name": "cat.png", "mimeType": "", "buffer": encoded(examples["cat"], "PNG")})
        outcome = analyse(network, examples["cat"]).under()
        expect(page.locator(".live p.says")).to_have_text("".join(answer_sentence(outcome)))
        expect(page.locator(".live .answers tbody tr")).to_have_count(5)
