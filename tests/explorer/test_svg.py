"""The SVG is well-formed, lies in the photo's pixels, has the colours of the overlay, and its numbers add up."""

from __future__ import annotations

import base64
import io
import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from explorer import ExplorerError, analyse
from explorer.export.svg import fitting, overlay_svg

MISSILE = 657
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</title><script>alert(1)</script> & \"'<b> \x00\x0b\ud800 猫"


@pytest.fixture(scope="module")
def rocket(network, examples):
    return analyse(network, examples["rocket"]).under("gmp")


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text.encode("utf-8"))


def rectangles(document: ElementTree.Element) -> list[ElementTree.Element]:
    (group,) = (item for item in document.iter(f"{SVG}g") if item.get("id") == "positions")
    return list(group)


def words(document: ElementTree.Element) -> list[str]:
    return ["".join(item.itertext()) for item in document.iter(f"{SVG}text")]


def picture_in(document: ElementTree.Element) -> Image.Image:
    (image,) = document.iter(f"{SVG}image")
    kind, _, data = image.get("href").partition(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def evidence_in(rectangle: ElementTree.Element) -> float:
    return float(re.search(r": ([+−]\d+\.\d+) logits$", rectangle[0].text).group(1).replace("−", "-"))


def test_lengths_are_in_pixels_of_the_photo_whatever_the_size_of_the_picture_inside(rocket):
    for side, size in ((1600, (640, 427)), (320, (320, 214))):
        document = parsed(overlay_svg(rocket, MISSILE, photo_side=side))
        left, top, width, height = map(float, document.get("viewBox").split())
        assert (left, top, width) == (0, 0, 640)
        assert height > 427
        (image,) = document.iter(f"{SVG}image")
        assert (image.get("width"), image.get("height"), image.get("x")) == ("640", "427", None)
        assert picture_in(document).size == size
        result = np.array([[float(item.get(name)) for name in ("x", "y", "width", "height")]
                          for item in rectangles(document)]).reshape(7, 7, 4)
        # 224 of 256 px of the short side, in the middle, 32 px a position: 427 / 256 px of the photo for one.
        assert result[0, 0] == pytest.approx([(640 - 373.6) / 2, (427 - 373.6) / 2, 53.4, 53.4], abs=1.5)
        assert result[6, 6, :2] + result[6, 6, 2:] == pytest.approx([(640 + 373.6) / 2, (427 + 373.6) / 2], abs=1.5)


def test_the_numbers_add_up_to_the_logit_in_the_legend(rocket):
    document = parsed(overlay_svg(rocket, MISSILE))
    total = math.fsum(evidence_in(item) for item in rectangles(document))
    maps, head = rocket.analysis.feature_maps, rocket.analysis.network.head
    logit = float(head.weight[MISSILE].double() @ maps.amax((1, 2)).double() + head.bias[MISSILE])
    bias = float(head.bias[MISSILE])
    assert total + bias == pytest.approx(logit, abs=0.004)
    (sentence,) = (text for text in words(document) if text.startswith("logit"))
    numbers = [float(number) for number in re.findall(r"-?\d+\.\d+", sentence.replace("− ", "-").replace("−", "-"))]
    assert numbers == pytest.approx([logit, bias, logit - bias], abs=0.0051)
    assert any(text.startswith("what-if · exact, residual ") for text in words(document))
    assert "Evidence for missile, under GMP" in words(document)


def test_a_position_says_where_it_is_and_the_strongest_is_the_deepest_red(rocket):
    drawn = rectangles(parsed(overlay_svg(rocket, MISSILE)))
    strongest = max(drawn, key=evidence_in)
    cells = rocket.evidence(MISSILE).cells.numpy()
    i, j = np.unravel_index(cells.argmax(), cells.shape)
    assert cells.max() == np.abs(cells).max(), "the test wants a photo whose strongest evidence is for the class"
    assert strongest[0].text.startswith(f"Position ({i}, {j}) of 7 × 7: +")
    assert strongest.get("fill") == "#b2182b"
    assert float(strongest.get("fill-opacity")) == 0.85


def test_drawn_by_hand_the_rectangles_give_the_overlay(network, examples):
    outcome = analyse(network, examples["photographer"]).under()
    document = parsed(overlay_svg(outcome, MISSILE))
    drawn = np.asarray(picture_in(document).convert("RGB"), dtype=np.float64)
    for item in rectangles(document):
        x, y, width, height = (round(float(item.get(name))) for name in ("x", "y", "width", "height"))
        colour = np.array([int(item.get("fill")[n : n + 2], 16) for n in (1, 3, 5)])
        cover = float(item.get("fill-opacity"))
        part = drawn[y : y + height, x : x + width]
        part[:] = part * (1 - cover) + colour * cover
    expected = np.asarray(outcome.analysis.overlay(outcome.evidence(MISSILE).cells), dtype=np.float64)
    assert np.abs(drawn - expected).mean() < 3  # the picture inside is a JPEG
    blocks = [array.reshape(32, 16, 32, 16, 3).mean((1, 3)) for array in (drawn, expected)]
    assert np.abs(blocks[0] - blocks[1]).max() < 6


def test_the_legend_has_the_ends_of_the_scale_and_its_colours(rocket):
    document = parsed(overlay_svg(rocket, MISSILE))
    limit = float(rocket.evidence(MISSILE).cells.abs().max())
    assert {f"−{limit:.2f}", "0", f"+{limit:.2f} logits"} <= set(words(document))
    stops = [item.get("stop-color") for item in document.iter(f"{SVG}stop")]
    assert (stops[0], stops[4], stops[-1], len(stops)) == ("#2166ac", "#f7f7f7", "#b2182b", 9)


def test_nothing_in_it_asks_for_anything_from_outside(rocket):
    text = overlay_svg(rocket, MISSILE)
    assert set(re.findall(r"https?://[^\s\"]*", text)) == {"http://www.w3.org/2000/svg"}
    document = parsed(text)
    assert {item.tag.removeprefix(SVG) for item in document.iter()} == {
        "svg", "title", "defs", "linearGradient", "stop", "rect", "image", "g", "text",
    }
    assert not [name for item in document.iter() for name in item.attrib if name.startswith("on")]


def test_a_hostile_class_name_stays_text(make_network, examples):
    tiny = replace(make_network(classes=2), class_names=(HOSTILE, "猫" * 200))
    outcome = analyse(tiny, examples["cat"]).under()
    document = parsed(overlay_svg(outcome, 0))
    shown = "Evidence for </title><script>alert(1)</script> & \"'<b>  猫, under GAP"
    assert document[0].text == f"{shown}, laid over the photo"
    assert not list(document.iter(f"{SVG}script"))
    assert shown.split("  ")[0] in words(document)[0]
    title = words(parsed(overlay_svg(outcome, 1)))[0]
    assert title.endswith("…")
    assert len(title) < 45


def test_a_tall_and_narrow_photo_has_room_for_its_legend(make_network, examples):
    outcome = analyse(make_network(), examples["cat"].resize((30, 900))).under()
    document = parsed(overlay_svg(outcome, 1))
    _, _, width, height = map(float, document.get("viewBox").split())
    assert width > 600
    assert height > 900
    assert len(rectangles(document)) == 16


def test_numbers_that_are_not_finite_are_said_to_be_none_and_leave_the_photo_visible(make_network, examples):
    head = nn.Linear(5, 1)
    nn.init.constant_(head.weight, math.nan)
    document = parsed(overlay_svg(analyse(make_network(head, classes=1), examples["cat"]).under(), 0))
    assert all(item[0].text.endswith(": not a number") for item in rectangles(document))
    assert {float(item.get("fill-opacity")) for item in rectangles(document)} == {0}
    assert "logit not a number = baseline" in " ".join(words(document))


def test_one_position_fills_what_was_seen(make_network, examples):
    class One(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3), keepdim=True)

    tiny = replace(make_network(nn.Linear(3, 1), classes=1), backbone=One())
    (only,) = rectangles(parsed(overlay_svg(analyse(tiny, examples["rocket"], "whole").under(), 0)))
    assert [float(only.get(name)) for name in ("x", "y", "width", "height")] == [0, 0, 640, 427]


def test_a_class_that_does_not_exist_is_refused(rocket):
    with pytest.raises(ExplorerError, match="no class 1000"):
        overlay_svg(rocket, 1000)


def test_a_text_that_fits_is_left_as_it_is_and_put_on_one_line():
    assert fitting("two\nlines", 30) == "two lines"
    assert fitting("x" * 100, 10) == "x" * 15 + "…"
    assert len(fitting("猫" * 100, 10)) <= 10


def test_contours_lie_on_the_borders_of_the_rectangles_as_thick_as_in_the_viewer_and_are_explained(rocket):
    document, bare = (parsed(overlay_svg(rocket, MISSILE, lined=on)) for on in (True, False))
    assert not list(bare.iter(f"{SVG}path"))
    paths = list(document.iter(f"{SVG}path"))
    ink = [item for item in paths if item.get("stroke") == "#141414"]
    assert [float(item.get("stroke-width")) for item in ink] == [1, 2, 3], "a photo of 640 px"
    assert [float(item.get("stroke-width")) for item in paths if item.get("stroke") == "#ffffff"] == [3, 4, 5]
    drawn = rectangles(document)
    falling = sorted((max(0, evidence_in(item)) for item in drawn), reverse=True)
    for item, share in zip(ink, (0.75, 0.5, 0.25), strict=True):
        count = next(n for n in range(50) if math.fsum(falling[:n]) >= share * math.fsum(falling))
        sides: list[tuple] = []
        for one in sorted(drawn, key=evidence_in)[-count:]:
            x, y, width, height = (float(one.get(name)) for name in ("x", "y", "width", "height"))
            corners = [(round(a), round(b)) for a in (x, x + width) for b in (y, y + height)]
            sides += [tuple(sorted((corners[n], corners[m]))) for n, m in ((0, 1), (0, 2), (1, 3), (2, 3))]
        expected = {side for side in sides if sides.count(side) == 1}
        numbers = re.findall(r"M(\S+) (\S+)L(\S+) (\S+?)(?=M|$)", item.get("d"))
        edges = [tuple(round(float(text)) for text in edge) for edge in numbers]
        assert {tuple(sorted((edge[:2], edge[2:]))) for edge in edges} == expected
        assert len(edges) == len(expected)
    sentence = "lines around 25%, 50%, 75% of the positive evidence, thick to thin"
    assert sentence in words(document)
    assert sentence not in words(bare)
    assert float(document.get("height")) > float(bare.get("height"))
