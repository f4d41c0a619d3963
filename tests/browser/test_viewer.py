"""What the viewer paints and what it says: colours, edges, scales and numbers, each worked out again here."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from explorer import analyse
from tests.browser.painting import (
    BLUES,
    LABEL_COVER,
    PALETTE,
    blueness,
    greys,
    is_unseen,
    painted,
    redness,
    rgb,
)
from tests.browser.uploads import grey_with_object

GREY = np.array([118.0] * 3)
TOLERANCE = 4  # of 255: the photo comes as a JPEG, and colours are rounded twice


@pytest.fixture(scope="module")
def objects(examples) -> dict[str, Image.Image]:
    """Photos without any colour of their own: a cup on an even grey ground, lying and upright."""
    return {"landscape": grey_with_object(examples["coffee"], (900, 600), (300, 100, 640, 440)),
            "portrait": grey_with_object(examples["coffee"], (600, 900), (100, 300, 440, 640))}


def evidence(analysis, pooling: str, class_index: int) -> np.ndarray:
    return analysis.under(pooling).evidence(class_index).cells.double().numpy()


def shared_limit(analysis, pooling: str, class_index: int) -> float:
    """Evidence of the class and of the five likeliest under one pooling stands on one scale."""
    classes = {class_index, *(answer.class_index for answer in analysis.under().top(5))}
    return max(float(np.abs(evidence(analysis, pooling, index)).max()) for index in classes)


def answer(analysis) -> int:
    return analysis.under().top(1)[0].class_index


def expected_colours(photo: Image.Image, view, cells: np.ndarray, limit: float, **options) -> np.ndarray:
    """(H, W, 3): the mean colour that each position is to have."""
    grounds = view.grounds(photo)
    return np.array([[painted(grounds[i, j], cells[i, j], limit, **options) for j in range(cells.shape[1])]
                     for i in range(cells.shape[0])])


def number(text: str) -> float:
    return float(text.replace("−", "-"))


# Places and colours.


@pytest.mark.parametrize(("shape", "framing"), [
    ("landscape", "crop"), ("portrait", "whole"), ("portrait", "squash"),
])
def test_the_strongest_position_is_the_reddest_at_its_place_and_all_are_blended_by_the_rule(
    shape, framing, visit, network, objects,
):
    photo = objects[shape]
    analysis = analyse(network, photo, framing)
    class_index = analysis.under("gmp").top(1)[0].class_index
    cells = evidence(analysis, "gmp", class_index)
    here = visit().show(photo, pooling="gmp", framing=framing, **{"class": str(class_index)})
    view = here.viewer(analysis).wait_for_photo()
    patches, pixels = view.patches(), view.pixels()
    limit = shared_limit(analysis, "gmp", class_index)
    assert [number(end) for end in view.ends[:2]] == pytest.approx([-limit, limit], abs=0.006)
    assert np.unravel_index(redness(patches).argmax(), cells.shape) == np.unravel_index(cells.argmax(), cells.shape)
    np.testing.assert_allclose(patches, expected_colours(photo, view, cells, limit), atol=TOLERANCE)
    # And not only on average: all of the reddest pixels lie in the strongest position's rectangle.
    rows, columns = np.nonzero(redness(pixels.astype(float)) > redness(pixels.astype(float)).max() - 8)
    left, top, right, bottom = analysis.framing.rectangles[np.unravel_index(cells.argmax(), cells.shape)]
    scale = photo.width / pixels.shape[1]
    assert left <= (columns.min() + 1) * scale
    assert (columns.max()) * scale <= right
    assert top <= (rows.min() + 1) * scale
    assert (rows.max()) * scale <= bottom


def test_every_position_of_an_even_photo_has_the_colour_of_the_rule(visit, network):
    photo = Image.new("RGB", (900, 600), (118, 118, 118))
    analysis = analyse(network, photo, "whole")
    sizes = [np.abs(evidence(analysis, "gmp", index)) for index in range(0, 1000, 10)]
    class_index = 10 * int(np.argmax([(size > 0.2 * size.max()).sum() for size in sizes]))
    cells = evidence(analysis, "gmp", class_index)
    here = visit().show(photo, pooling="gmp", framing="whole", **{"class": str(class_index)})
    view = here.viewer(analysis).wait_for_photo()
    view.press("Shared scale")
    limit = np.abs(cells).max()
    np.testing.assert_allclose(view.patches(), expected_colours(photo, view, cells, limit), atol=TOLERANCE)
    assert len(np.unique(np.rint(view.patches()).reshape(-1, 3), axis=0)) > 6, "the photo was chosen to show many"


def test_what_the_network_never_saw_is_hatched_and_the_rest_grey_or_in_its_colours(visit, network):
    photo = Image.new("RGB", (1200, 600), (20, 160, 40))
    analysis = analyse(network, photo)
    here = visit().show(photo)
    view = here.viewer(analysis).wait_for_photo()
    view.slide("Opacity", 0)
    pixels = view.pixels()
    left, top, right, bottom = (edge * pixels.shape[1] / 1200 for edge in analysis.framing.seen)
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]] + 0.5
    inside = (columns > left + 1) & (columns < right - 1) & (rows > top + 1) & (rows < bottom - 1)
    outside = (columns < left - 1) | (columns > right + 1) | (rows < top - 1) | (rows > bottom + 1)
    assert outside.mean() > 0.3
    for n, colour in enumerate((greys([20, 160, 40]), [20, 160, 40], greys([20, 160, 40]))):
        if n:
            view.press("Photo in colour")
        pixels = view.pixels().astype(float)
        assert is_unseen(pixels[outside], np.array([20, 160, 40]), TOLERANCE)
        np.testing.assert_allclose(pixels[inside], np.broadcast_to(colour, (inside.sum(), 3)), atol=TOLERANCE)


def test_a_class_without_positive_evidence_shows_no_red(visit, network, objects):
    photo = objects["landscape"]
    analysis = analyse(network, photo)
    class_index = next(index for index in range(1000) if evidence(analysis, "gap", index).max() < 0)
    here = visit().show(photo, pooling="gap", **{"class": str(class_index)})
    view = here.viewer(analysis).wait_for_photo()
    for blue in (5, 20):
        pixels = view.pixels().astype(float)
        assert redness(pixels).max() < TOLERANCE
        assert blueness(pixels).max() > blue
        view.press("Shared scale")
    expect(view.find(".lines")).to_contain_text("all evidence for this class is negative")
    view.press("Positive only")
    assert np.ptp(view.pixels(), axis=-1).max() < TOLERANCE, "nothing is positive, so nothing is coloured"


# Votes.


@pytest.mark.parametrize("example", ["cat", "rocket"])
def test_the_map_of_winners_has_the_legends_colours_and_counts_and_its_readout_the_positions_own_answers(
    example, visit, network, examples,
):
    analysis = analyse(network, examples[example])
    with_votes = analysis.network.head(analysis.feature_maps.flatten(1).T).softmax(1).detach().numpy()
    won = with_votes.argmax(1)
    names, counts = np.unique(won, return_counts=True)
    here = visit().go("/Activation_maps", example=example, maps="votes")
    view = here.viewer(analysis, "grid").wait_for_photo()
    keys = view.find(".key").evaluate_all(
        "(keys) => keys.map((key) => [key.textContent, getComputedStyle(key, '::before').backgroundColor])")
    legend = {}
    for text, shown in keys:
        name, count = re.fullmatch(r"(.+) \((\d+)\)", text).groups()
        legend[name] = int(count), np.array([int(part) for part in re.findall(r"\d+", shown)][:3], float)
    assert len({tuple(colour) for _, colour in legend.values()}) == len(legend), "no two classes of one colour"
    listed = dict(zip((network.class_names[index] for index in names), counts.tolist(), strict=True))
    for name, (count, colour) in legend.items():
        assert count == listed.get(name, sum(listed.values()) - sum(listed.get(item, 0) for item in legend))
        assert any(np.array_equal(colour, rgb(stop)) for stop in PALETTE.split())
    view.slide("Opacity", 100)
    patches, grounds = view.patches(1), view.grounds(examples[example])
    for i, j in np.ndindex(analysis.framing.grid):
        name = network.class_names[won[i * analysis.framing.grid[1] + j]]
        _, colour = legend.get(name) or legend[next(item for item in legend if item.startswith("others"))]
        np.testing.assert_allclose(
            patches[i, j], grounds[i, j] * (1 - LABEL_COVER) + colour * LABEL_COVER, atol=2 * TOLERANCE,
            err_msg=f"position ({i}, {j}) is won by {name}")
    view.hover(3, 2, pane=1)
    three = np.argsort(-with_votes[3 * 7 + 2], kind="stable")[:3]
    expect(view.find(".readout")).to_contain_text(re.compile(
        r"^Position \(3, 2\): .*" + ".*".join(re.escape(network.class_names[index]) for index in three)))
    expect(view.find(".value").nth(1)).to_have_text(re.compile(
        rf"^({re.escape(network.class_names[three[0]])}|others) \(\d+\)$"))


def test_votes_are_drawn_on_a_scale_from_0_to_the_surest_and_never_called_certain(visit, network, examples):
    analysis = analyse(network, examples["photographer"])
    class_index = answer(analysis)
    votes = analysis.network.head(analysis.feature_maps.flatten(1).T).softmax(1)[:, class_index]
    votes = votes.detach().double().numpy().reshape(analysis.framing.grid)
    i, j = np.argwhere((votes > 0.995) & (votes < 1))[0]
    here = visit().go("/Activation_maps", example="photographer", maps="votes")
    view = here.viewer(analysis, "grid").wait_for_photo()
    colours = expected_colours(examples["photographer"], view, votes, votes.max(), kind="positive", stops=BLUES)
    np.testing.assert_allclose(view.patches(), colours, atol=3 * TOLERANCE)
    view.hover(i, j)
    expect(view.find(".value").first).to_have_text(">99%")
    view.says(rf"^Position \({i}, {j}\): >99% probability of tripod")


# Numbers.


def test_the_readout_is_the_number_its_share_and_its_position(visit, network, examples):
    for example, pooling in (("astronaut", "gap"), ("cat", "gmp"), ("rocket", "lse")):
        analysis = analyse(network, examples[example])
        class_index = answer(analysis)
        cells = evidence(analysis, pooling, class_index)
        here = visit().go(example=example, pooling=pooling)
        view = here.viewer(analysis).wait_for_photo()
        strongest, weakest = (np.unravel_index(at, cells.shape) for at in (cells.argmax(), cells.argmin()))
        for i, j in {strongest, weakest, (0, 0), (6, 6), (3, 4)}:
            view.hover(i, j)
            value = cells[i, j]
            result = re.fullmatch(
                r"Position \((\d+), (\d+)\): ([+−]?\d+\.\d\d+) logits"
                r"(?:, (<0\.1|[\d.]+)% of the (positive|negative) evidence)?", view.readout)
            assert result, view.readout
            assert (int(result[1]), int(result[2])) == (i, j)
            assert number(result[3]) == pytest.approx(value, abs=0.0051)
            assert result[3].startswith("+") == (value >= 0.00005)
            if value:
                assert result[5] == ("positive" if value > 0 else "negative")
                share = np.abs(value) / np.abs(cells[cells * value > 0]).sum() * 100
                assert share == pytest.approx(0.05, abs=0.05) if result[4] == "<0.1" else \
                    number(result[4]) == pytest.approx(share, abs=0.51)
            np.testing.assert_allclose(view.outlined(), view.rectangles[i, j], atol=2 * 512 / 434 + 0.5)
        view.leave()
        view.says(rf"^Strongest position \({strongest[0]}, {strongest[1]}\): ")
        assert view.outlined() is None


def test_what_lies_outside_what_was_seen_has_no_number(visit, network, examples):
    analysis = analyse(network, examples["rocket"])
    here = visit().go(example="rocket")
    view = here.viewer(analysis).wait_for_photo()
    for point in ((10, 200), (630, 200), (320, 5)):
        view.hover_at(point)
        view.says("^Strongest position")
        assert view.outlined() is None


def test_the_line_under_the_photo_adds_up(visit, network, examples):
    here = visit()
    for name in ("cat", "photographer"):
        analysis = analyse(network, examples[name])
        result = analysis.under("gmp").evidence(answer(analysis))
        text = here.go(example=name, pooling="gmp").viewer(analysis).find(".lines").text_content()
        logit, baseline, rest = (number(part) for part in re.match(
            r"logit (−?\d+\.\d\d) = (−?\d+\.\d\d) baseline \+ (−?\d+\.\d\d) evidence", text).groups())
        assert (logit, baseline) == pytest.approx((result.logit, result.baseline), abs=0.0051)
        assert rest == pytest.approx(float(result.cells.double().sum()), abs=0.0101)
        assert re.search(r"exact, residual \de-\d", text)
