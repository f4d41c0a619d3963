"""read_image on all that is not a photo: one plain sentence, at once, and nothing else ever escapes."""

import io
import json
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photos import FILES, LOSSLESS, MOVING, blocks, chunk, one_tile_tiff, png, saved
from PIL import Image

from explorer.errors import ImageError
from explorer.images import read_image

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def check_sentence(message):
    """One plain sentence that says what is expected; no newline, nothing of Python."""
    assert message.isprintable(), message
    assert message[0].isupper()
    assert message.endswith(".")
    assert "expected" in message.lower()
    assert len(message) < 350
    assert not any(word in message for word in ("Traceback", "Error", "Exception", "PIL.", "packages", "<", "0x"))
    return message


def refused(source):
    """The message with which read_image refuses; any other exception fails the test."""
    with pytest.raises(ImageError) as caught:
        read_image(source)
    return check_sentence(str(caught.value))


def outcome(source):
    """The pixels, or the message of the refusal."""
    try:
        return np.asarray(read_image(source))
    except ImageError as error:
        return check_sentence(str(error))


def same(one, other):
    return type(one) is type(other) and np.array_equal(one, other)


NOT_PHOTOS = {
    "PDF": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n", "SVG": b'<?xml version="1.0"?>\n<svg width="9" height="9"/>',
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    "video": b"\0\0\0\x18ftypmp42" + bytes(64),
    "ICO": saved(blocks("RG YC"), "ICO"), "ZIP": b"PK\x03\x04" + bytes(64), "Photoshop": b"8BPS\0\1" + bytes(64),
}
NO_SORT = {
    "text": b"a shopping list", "one byte": b"\0", "zeros": bytes(5000), "PPM": saved(blocks("RG YC"), "PPM"),
    "JPEG 2000": saved(blocks("RG YC"), "JPEG2000"), "TGA": saved(blocks("RG YC"), "TGA"),
    "noise": np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8).tobytes(),
}


def test_a_file_of_another_kind_is_named_in_the_refusal(tmp_path):
    for kind in NOT_PHOTOS:
        (tmp_path / "holiday.jpg").write_bytes(NOT_PHOTOS[kind])
        for source in (NOT_PHOTOS[kind], tmp_path / "holiday.jpg"):
            assert f"of the kind {kind};" in refused(source)


def test_what_is_no_photo_at_all_is_refused(tmp_path):
    for data in NO_SORT.values():
        (tmp_path / "holiday.jpg").write_bytes(data)
        for source in (data, tmp_path / "holiday.jpg"):
            message = refused(source)
            assert "not a photo" in message
            assert "BMP, TIFF or GIF" in message


def test_empty_files_are_refused(tmp_path):
    (tmp_path / "empty.png").touch()
    assert refused(b"") == refused(tmp_path / "empty.png")
    assert "empty (0 bytes)" in refused(b"")


def test_what_is_not_the_path_of_a_file_is_refused(tmp_path):
    assert repr(str(tmp_path)) in refused(tmp_path)
    assert "nowhere.jpg" in refused(tmp_path / "nowhere.jpg")
    for path in ("", "a\0b", "two\nlines", "a" * 5000, "/" + "b/" * 3000, "\udcff", str(tmp_path / "x.jpg") + "/y"):
        refused(path)
    for thing in (None, 7, 0.5, True, [b"a"], io.BytesIO(LOSSLESS["PNG"]), np.zeros((3, 3, 3)), {"a": "b\nc"}):
        assert type(thing).__name__ in refused(thing)


def test_a_closed_or_strange_pil_image_is_refused():
    closed = Image.open(io.BytesIO(LOSSLESS["PNG"]))
    closed.close()
    refused(closed)
    assert "no pixels (0 x 4)" in refused(Image.new("RGB", (0, 4)))


def test_pixels_that_are_no_colours_are_refused():
    for numbers in ([[0.5, np.nan]], [[np.inf, 3.0]]):
        image = Image.fromarray(np.array(numbers, np.float32))
        assert "not numbers" in refused(saved(image, "TIFF"))
        assert "not numbers" in refused(image)
    in_range = read_image(saved(Image.fromarray(np.array([[0, 65535]], np.int32)), "TIFF"))
    assert np.asarray(in_range).tolist() == [[[0] * 3, [255] * 3]]


def test_exactly_25_mb_and_50_megapixels_are_accepted_and_no_more(tmp_path):
    data = LOSSLESS["PNG"]
    assert read_image(data + bytes(25 * 2**20 - len(data))).size == (32, 24)
    assert "25.0 MB" in refused(data + bytes(25 * 2**20 - len(data) + 1))
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(3 * 2**30)
    assert "3072.0 MB" in refused(tmp_path / "sparse.png")
    assert read_image(saved(Image.new("1", (10000, 5000)), "PNG")).size == (10000, 5000)
    assert "50.0 megapixels (10000 x 5001)" in refused(saved(Image.new("1", (10000, 5001)), "PNG"))
    assert "50.0 megapixels (10000 x 5001)" in refused(Image.new("1", (10000, 5001)))


def gif(screen, frame):
    """A GIF with these logical screen and frame sizes, whatever its pixels are."""
    data = bytearray(saved(Image.new("L", (1, 1)), "GIF"))
    at = data.index(b",", 13 + 3 * 256 if data[10] & 7 == 7 else 13)
    data[6:10], data[at + 5:at + 9] = struct.pack("<HH", *screen), struct.pack("<HH", *frame)
    return bytes(data)


def compressed_text(megabytes):
    return chunk(b"zTXt", b"text\0\0" + zlib.compress(b"a" * (megabytes * 2**20)))


@cache
def bombs():
    """Small files that would fill the memory if they were decoded, and a word of what is said of each."""
    webp = bytearray(saved(Image.new("RGB", (1, 1)), "WEBP", lossless=True))
    webp[21:25] = struct.pack("<I", 16382 | 16382 << 14)  # width and height, less one, in 14 bits each
    return {
        "PNG 60000 x 60000": (png((60000, 60000), 8, 2, [[0] * 9]), "far more than 50 megapixels"),
        "PNG 12000 x 12000": (png((12000, 12000), 8, 6, [[0] * 9]), "144.0 megapixels (12000 x 12000)"),
        "PNG 8000 x 8000": (png((8000, 8000), 16, 6, [[0] * 9]), "64.0 megapixels (8000 x 8000)"),
        "PNG with long text": (png((1, 1), 8, 0, [[7]], compressed_text(100)), "damaged"),
        "PNG with much text": (png((1, 1), 8, 0, [[7]], *[compressed_text(1)] * 300), "damaged"),
        "TIFF of one tile": (one_tile_tiff(12000), "144.0 megapixels (12000 x 12000)"),
        "GIF with a huge screen": (gif((65535, 65535), (1, 1)), "far more than 50 megapixels"),
        "GIF with a large screen": (gif((9000, 9000), (1, 1)), "81.0 megapixels"),
        "GIF with a huge frame": (gif((1, 1), (65535, 65535)), "far more than 50 megapixels"),
        "WebP 16383 x 16383": (bytes(webp), "far more than 50 megapixels"),
    }


# Threads read TIFF and WebP first, before any plugin of Pillow is loaded; then each bomb is read while the peak of
# the process's memory is watched.
CHILD = """
import json, resource, sys, threading
from pathlib import Path
from explorer.errors import ImageError
from explorer.images import read_image
good, bad, gate, sizes = *(sorted(Path(sys.argv[1], kind).iterdir()) for kind in ("good", "bad")), \
    threading.Barrier(8), []
def read(n):
    gate.wait()
    sizes.extend(read_image(path).size for path in good[n % len(good):] + good[:n % len(good)])
threads = [threading.Thread(target=read, args=[n]) for n in range(8)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
unit = 1 if sys.platform == "darwin" else 1024
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
def refuse(path):
    before = peak()
    try:
        return ["was read", 0.0] if read_image(path) else None
    except ImageError as error:
        return [str(error), peak() - before]
print(json.dumps([sizes, {path.name: refuse(path) for path in bad}]))
"""


def test_threads_read_at_once_from_the_start_and_no_bomb_is_decoded(tmp_path):
    for kind, files in {"good": {name: FILES[name] for name in ("TIFF", "WebP", "PNG", "GIF")},
                        "bad": {name: data for name, (data, _) in bombs().items()}}.items():
        (tmp_path / kind).mkdir()
        for name, data in files.items():
            (tmp_path / kind / name).write_bytes(data)
    child = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path)], cwd=ROOT, capture_output=True, timeout=120)
    assert child.returncode == 0, child.stderr.decode()
    sizes, answers = json.loads(child.stdout)
    assert sizes == [[32, 24]] * 32
    for name, (_, shown) in bombs().items():
        message, megabytes = answers[name]
        assert shown in check_sentence(message), name
        assert megabytes < 30, name


def test_text_is_kept_within_bounds_and_a_normal_one_is_no_bomb():
    assert np.asarray(read_image(png((1, 1), 8, 0, [[7]], compressed_text(0)))).tolist() == [[[7] * 3]]


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_was_cut_short_is_refused_or_its_first_frame_is_whole(kind):
    data, cuts = FILES[kind], np.linspace(0, len(FILES[kind]) - 1, 60).astype(int)
    whole = np.asarray(read_image(data))
    outcomes = [outcome(data[:cut]) for cut in cuts]
    assert all(isinstance(result, str) or same(result, whole) for result in outcomes)
    first_half = outcomes[:30] if kind not in MOVING else outcomes[:6]
    assert all(isinstance(result, str) for result in first_half)
    damaged = [result for cut, result in zip(cuts, outcomes, strict=True) if cut > 12 and isinstance(result, str)]
    assert damaged
    assert all("cut short" in message for message in damaged)


def test_a_cut_jpeg_says_so_with_the_name_of_its_kind():
    assert "This JPEG file is damaged, cut short" in refused(FILES["JPEG"][:100])
    assert "cannot be decoded to its end" in refused(FILES["JPEG"][:-20])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_a_file_with_wrong_bytes_is_read_or_refused(kind, draw):
    data = bytearray(FILES[kind])
    places = st.integers(0, min(len(data) - 1, 200)) | st.integers(0, len(data) - 1)
    for place, value in draw.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=8)):
        data[place] = value
    begin, end = sorted(draw.draw(st.tuples(places, places) | st.just((0, 0))))
    outcome(bytes(data[:begin] + data[end:]))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.sampled_from([b"", *(data[:n] for data in LOSSLESS.values() for n in (4, 12, 30))]), st.binary(max_size=300))
def test_random_bytes_are_refused(beginning, data):
    outcome(beginning + data)


def test_warnings_that_a_caller_turned_into_errors_do_not_escape():
    broken_exif = saved(blocks("RGB YCM"), "JPEG", exif=b"Exif\0\0" + struct.pack("<2sHIH", b"II", 42, 8, 500))
    warning = [broken_exif, FILES["TIFF"][:16], bombs()["PNG 12000 x 12000"][0]]
    for data in warning[:-1]:
        with pytest.warns(UserWarning, match="Corrupt EXIF"):
            outcome(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for data in warning:
            outcome(data)
        assert "far more than 50 megapixels" in refused(warning[-1])


def test_eight_threads_get_what_one_gets():
    sources = [*FILES.values(), *NOT_PHOTOS.values(), *(data[: len(data) // 2] for data in FILES.values())]
    alone = [outcome(source) for source in sources]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(outcome, sources * 6))
    assert all(same(*pair) for pair in zip(together, alone * 6, strict=True))
