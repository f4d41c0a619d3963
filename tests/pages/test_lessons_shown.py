"""What the lessons on place, scenes, localisation and sentences show, computed again from what the engine is given."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from safetensors.numpy import load_file

from explorer import analyse
from explorer.wording import percent, plain, signed
from tests.explorer.tiny import analysis_of, random_maps
from tests.pages.arithmetic import Measured, box_around, enlarged, flood, pooled, weights
from tests.pages.boards import Drawn, boards, decoded, figures, is_plain_sentence, notices, number, trace, viewers
from tests.pages.classifiers import Flattened, network_of, seeded, seen

PAGE = "pages/6_Lessons.py"
ASSETS = Path(__file__).resolve().parents[2] / "assets"
HELMET = 560
SEEN = (32.0, 32.0, 480.0, 480.0)  # of the astronaut, by the usual crop
POOLINGS = ("gap", "gmp", "gem", "lse", "topk", "mixed", "softpool", "attention")


def rows_of(drawn) -> list[list[str]]:
    """The rows of a lesson's table, its headings first, without the titles that go across all columns."""
    rows = [[Drawn(cell).text for cell in row.node["children"]] for row in drawn.all("tr")]
    return [row for row in rows if len(row) > 1]


def share(text: str) -> float:
    """"0", "5e-7" or "62%"."""
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)


# Place.


def pyramid(maps: np.ndarray) -> np.ndarray:
    """The mean of the whole grid, then of its quarters, which overlap where a side is odd."""
    (rows, columns), parts = maps.shape[1:], [maps.mean((1, 2))]
    for i in range(2):
        for j in range(2):
            top, bottom = i * rows // 2, -(-(i + 1) * rows // 2)
            left, right = j * columns // 2, -(-(j + 1) * columns // 2)
            parts.append(maps[:, top:bottom, left:right].mean((1, 2)))
    return np.concatenate(parts)


def shuffled(maps: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The maps in the order that the seed gives, and the order."""
    order = torch.randperm(maps[0].size, generator=torch.Generator().manual_seed(seed)).numpy()
    return maps.reshape(len(maps), -1)[:, order].reshape(maps.shape), order


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_shuffled_positions_leave_every_pooling_and_change_what_keeps_the_place(seed, open_page, measured):
    shown = boards(open_page(PAGE, lesson="6", settings=f"shuffle:{seed}"))["place"]
    result, seen_maps = rows_of(shown.one("lesson-table")), measured()
    assert len(result) == 1 + len(POOLINGS) + 2
    maps = seen_maps.maps
    after = shuffled(maps, seed)[0] if seed else None
    for key, (_, before, later, logits, vector) in zip(POOLINGS, result[1:9], strict=True):
        assert number(before) == pytest.approx(seen_maps.logits(key)[HELMET], abs=0.0051)
        if seed:
            assert later in (before, plain(number(before) + 0.01), plain(number(before) - 0.01))
            assert max(share(logits), share(vector)) <= 1e-6
        else:
            assert later == logits == vector == ""
    for (name, before, later, logits, vector), kind, take in zip(
            result[9:], ("pyramid", "flatten"), (pyramid, np.ravel), strict=True):
        head = load_file(ASSETS / "heads" / f"flowers_{kind}.safetensors")
        one = head["linear.weight"].astype(float) @ take(maps) + head["linear.bias"]
        best = int(one.argmax())
        names = json.loads((ASSETS / "heads" / "flowers.json").read_text())["classes"]
        assert name.endswith(f": {names[best]}")
        assert before == plain(one[best])
        if seed:
            other = head["linear.weight"].astype(float) @ take(after) + head["linear.bias"]
            assert later == plain(other[best])
            assert logits == f"{np.abs(other - one).max() / np.abs(one).max():.0%}"
            length = np.linalg.norm(take(after) - take(maps)) / np.linalg.norm(take(maps))
            assert vector == f"{length:.0%}"


def test_the_squares_of_the_photo_and_their_evidence_lie_where_the_shuffle_put_them(open_page, measured):
    shown = boards(open_page(PAGE, lesson="6", settings="shuffle:2"))["place"]
    before, after = (np.asarray(decoded(item.attributes["src"]), float) for item in shown.all("img"))
    assert before.shape == after.shape
    side = before.shape[0] // 7

    def squares(picture: np.ndarray) -> np.ndarray:
        inner = picture.reshape(7, side, 7, side, 3)[:, 8:-8, :, 8:-8]  # JPEG smears the edges
        return inner.mean((1, 3)).reshape(49, 3)

    order = shuffled(measured().maps, 2)[1]
    np.testing.assert_allclose(squares(after), squares(before)[order], atol=4)
    cells = measured().cells(HELMET)
    place, there = int(cells.argmax()), int(np.flatnonzero(order == cells.argmax())[0])
    assert (f"The strongest, {divmod(place, 7)}, gives {signed(cells.max())} logits; it is now at {divmod(there, 7)} "
            f"and gives {signed(cells.max())}.") in shown.text
    assert f"{percent((order != np.arange(49)).mean())} of the positions have moved" in shown.text
    assert shown.one("legend").texts("span") == [signed(-np.abs(cells).max()), f"{signed(np.abs(cells).max())} logits"]


def test_a_head_that_is_not_there_for_these_maps_is_said_to_be_missing(open_page, put, network, examples, make_network):
    put(analyse(network, examples["cat"], "whole", 96))
    shown = boards(open_page(PAGE, lesson="6"))["place"]
    *_, some, flat = rows_of(shown.one("lesson-table"))
    assert "" not in some
    assert flat[:4] == ["Flatten", "", "", ""]
    assert flat[4].endswith("%")
    assert "flatten has none for so many positions" in shown.one("part").text
    maps = random_maps()
    put(analysis_of(make_network(), maps))
    shown = boards(open_page(PAGE, lesson="6"))["place"]
    assert "no trained head" in shown.one("part").text
    changed = shuffled(maps.double().numpy(), 1)[0]
    for row, take in zip(rows_of(shown.one("lesson-table"))[-2:], (pyramid, np.ravel), strict=True):
        one, other = take(maps.double().numpy()), take(changed)
        assert row[1:] == ["", "", "", f"{np.linalg.norm(other - one) / np.linalg.norm(one):.0%}"]


# Scenes.


def pasted(
    photo: Image.Image, box: list[float], scale: float, count: int = 1, ground: str = "plain", side: int = 448
) -> Image.Image:
    """A square of some px with objects on it, each in the middle of its share."""
    if ground == "plain":
        scene = Image.new("RGB", (side, side), tuple(round(item) for item in np.asarray(photo, float).mean((0, 1))))
    else:
        scene = photo.resize((side, side), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(0.08 * side))
    if scale:
        piece = photo.crop([round(edge) for edge in box])
        factor, across = scale * side / max(piece.size), round(count**0.5)
        piece = piece.resize([max(1, round(factor * length)) for length in piece.size], Image.Resampling.BICUBIC)
        for n in range(count):
            middle = [(place + 0.5) * side / across for place in (n % across, n // across)]
            scene.paste(piece, [round(at - length / 2) for at, length in zip(middle, piece.size, strict=True)])
    return scene


@pytest.mark.parametrize(("settings", "scale", "count", "ground", "p"), [
    ("scale:0.05,p:1", 0.05, 1, "plain", 1), ("scale:1.0,count:9,ground:blur,p:100", 1 / 3, 9, "blur", 100)])
def test_a_scene_is_made_as_it_says_and_three_poolings_say_of_it_what_they_must(
        settings, scale, count, ground, p, open_page, measured, examples, factor):
    shown = boards(open_page(PAGE, lesson="7", settings=settings))["pasted"]
    box = box_around(flood(measured().cells(HELMET), 0.2), SEEN, (7, 7))
    made = pasted(examples["astronaut"], box, scale, count, ground)
    pictures = [decoded(item.attributes["src"]) for item in shown.all("img")]
    assert np.abs(np.asarray(pictures[0], float) - np.asarray(made.resize((400, 400)), float)).mean() < 3.5  # JPEG
    there = measured(made, "squash", 448)
    for legend, key in zip(shown.all("legend"), ("gap", "gmp"), strict=True):
        assert number(legend.text.removesuffix(" logits")) == pytest.approx(
            np.abs(there.cells(HELMET, key)).max(), abs=0.0051)
    result = rows_of(shown.one("lesson-table"))
    for (name, *numbers), key in zip(result[1:], ("gap", "gmp", f"gem:p={p}"), strict=True):
        logits, ahead = there.logits(key), np.delete(there.logits(key), HELMET).max()
        assert name.startswith(("GAP native", "GMP what-if", f"GeM, p = {p} what-if"))
        assert number(numbers[0]) == pytest.approx(logits[HELMET], abs=0.006)
        assert number(numbers[1]) == pytest.approx(logits[HELMET] - ahead, abs=0.006)
        assert numbers[2] == percent(there.probabilities(key, factor(key))[HELMET])
        assert number(numbers[3]) == there.rank(HELMET, key)
    left, top, right, bottom = (round(edge) for edge in box)
    assert f"pixels {left} to {right} across, {top} to {bottom} down" in shown.text
    assert ("Nine fit up to 33%" in shown.text) == (count == 9)
    assert "14 × 14 positions" in shown.text


def test_the_plot_has_each_logit_as_a_share_of_the_way_from_the_empty_ground_to_the_largest(
        open_page, measured, examples):
    page = open_page(PAGE, lesson="7", settings="scale:0.4")
    assert not page.exception
    assert "the scene" in boards(page)["pasted"].text.lower(), "there is a scene while the plot is made"
    end = time.monotonic() + 120
    while "rising" not in figures(page):
        assert time.monotonic() < end
        time.sleep(0.2)
        page.run()
    figure = figures(page)["rising"]
    box, scales = box_around(flood(measured().cells(HELMET), 0.2), SEEN, (7, 7)), np.geomspace(0.05, 1, 10)
    scenes = [measured(pasted(examples["astronaut"], box, scale), "squash", 448)
              for scale in (0, *scales.tolist())]
    halves = []
    for key, name in (("gap", "GAP"), ("gmp", "GMP"), ("gem", "GeM, p = 3")):
        empty, *logits = (item.logits(key)[HELMET] for item in scenes)
        risen = (np.array(logits) - empty) / (max(logits) - empty)
        np.testing.assert_allclose(trace(figure, name)["y"], risen, atol=1e-3)
        np.testing.assert_allclose(trace(figure, name)["x"], scales)
        first = int(np.flatnonzero(risen >= 0.5)[0])
        halves.append(f"{name} at " + percent(float(np.exp(np.interp(
            0.5, risen[first - 1 : first + 1], np.log(scales[first - 1 : first + 1]))))))
    assert set(trace(figure, "now")["x"]) == {0.4}
    assert f"Half of that way is reached by {', '.join(halves)}." in boards(page)["half_ways"].text


# Localisation.


@pytest.mark.parametrize("threshold", ["0.01", "0.2", "1.0"])
def test_box_and_mask_hold_what_they_are_said_to_hold(threshold, open_page, measured, examples):
    page = open_page(PAGE, lesson="9", settings=f"threshold:{threshold}")
    shown, cells, limit = boards(page)["located"], measured().cells(HELMET), float(threshold)
    places = {place for place in flood(cells, limit) if cells[place] > 0}
    box = box_around(places, SEEN, (7, 7))
    assert viewers(page)["box"].chosen.box == pytest.approx(box)
    np.testing.assert_allclose(viewers(page)["box"].chosen.values, cells, atol=2e-4)
    assert f"{percent(limit)} of {plain(cells.max())} = {plain(limit * cells.max())} logits" in shown.text
    assert f"{len(places)} of 49 positions" in shown.text
    rows, columns = ([place[n] for place in places] for n in (0, 1))
    inside = np.maximum(cells, 0)[min(rows) : max(rows) + 1, min(columns) : max(columns) + 1]
    smooth = enlarged(cells, 224)
    mask = np.zeros((224, 224), bool)
    mask[tuple(np.array(sorted(flood(smooth, limit))).T)] = True
    both = [("box", inside.size / 49, inside.sum() / cells[cells > 0].sum()),
            ("mask", mask.mean(), smooth[mask].sum() / smooth[smooth > 0].sum())]
    for row, (name, area, held) in zip(rows_of(shown.one("lesson-table"))[1:], both, strict=True):
        assert row == [name, percent(area), percent(round(held, 12)), f"{held / area:.1f}"]
    picture = boards(page)["masked"].image()
    photo = examples["astronaut"].resize(picture.size)
    large = np.zeros((512, 512), bool)
    large[32:480, 32:480] = np.kron(mask, np.ones((2, 2), bool))
    expected = np.asarray(photo, float).mean(2) * np.where(large, 1, 0.22)
    off = np.abs(np.asarray(picture, float).mean(2) - expected)[40:472, 40:472]
    assert off.mean() < 3


def test_without_positive_evidence_there_is_neither_box_nor_mask(open_page, put, make_network):
    put(analysis_of(make_network(), torch.zeros(5, 3, 4)))
    page = open_page(PAGE, lesson="9")
    assert not page.exception
    assert viewers(page)["box"].chosen.box is None
    assert "there is no box" in boards(page)["located"].text
    assert is_plain_sentence(boards(page)["masked"].text)


# Sentences.


@pytest.fixture(scope="module")
def sentences() -> dict[str, tuple[list[str], np.ndarray]]:
    """Tokens, and vectors as feature maps (D, 1, T), by key, as they are shipped."""
    vectors = load_file(ASSETS / "sentences.safetensors")
    listed = json.loads((ASSETS / "sentences.json").read_text())["sentences"]
    return {item["key"]: (item["tokens"], vectors[item["key"]].astype(float).T[:, None]) for item in listed}


@pytest.mark.parametrize(("pair", "one", "other", "pooling"), [
    ("order", "dog_cat", "cat_dog", "gap"), ("unrelated", "kids", "volcano", "attention"),
    ("telling", "walk", "volcano", "gmp"), ("negation", "soup_good", "soup_not_good", "gem"),
    ("two_topics_music", "two_topics", "orchestra", "lse")])
def test_each_token_adds_to_the_cosine_what_its_weighted_vector_does(pair, one, other, pooling, open_page, sentences):
    shown = boards(open_page(PAGE, lesson="10", settings=f"pair:{pair},pooling:{pooling}"))["sentences"]
    tokens, maps = zip(*(sentences[key] for key in (one, other)), strict=True)
    parts = [(weights(item, pooling) * (np.maximum(item, 0) if pooling == "gem" else item))[:, 0] for item in maps]
    vectors = [pooled(item, pooling) for item in maps]
    lengths = np.linalg.norm(vectors[0]) * np.linalg.norm(vectors[1])
    cosine = vectors[0] @ vectors[1] / lengths
    assert f"cosine{signed(cosine)} under " in shown.text
    assert shown.text.count(f"shares add up to {signed(cosine)}; ") == 2
    for n, drawn in enumerate(shown.all("lesson-tokens")):
        shares = vectors[1 - n] @ parts[n] / lengths
        names, adds, counts = zip(*(token.node["children"] for token in drawn.all("lesson-token")), strict=True)
        assert [name["children"][0] for name in names] == tokens[n]
        np.testing.assert_allclose([number(item["children"][0]) for item in adds], shares, atol=0.0052)
        best = tokens[n][int(shares.argmax())]
        assert f"shares add up to {signed(cosine)}; “{best}” adds most" in shown.text
        if pooling != "gem":  # whose silent channels have no weights
            item = weights(maps[n], pooling)[:, 0]
            looks = (item / item.sum(1, keepdims=True)).mean(0)
            assert [part["children"][0] for part in counts] == [percent(value) for value in looks]
    pairs = parts[0].T @ parts[1] / lengths
    cells = [number(cell.attributes["title"]) for cell in shown.one("lesson-pairs").all("cell")]
    across = pairs if len(tokens[0]) <= len(tokens[1]) else pairs.T
    np.testing.assert_allclose(np.reshape(cells, across.shape), across, atol=0.0052)
    assert ("numbers below 0 count as 0" in shown.text) == (pooling == "gem")
    assert "bundled, computed beforehand with all-MiniLM-L6-v2" in shown.text
    assert "weights held" in shown.text


def test_colours_of_tokens_tell_for_from_against_and_strong_from_weak(open_page):
    shown = boards(open_page(PAGE, lesson="10", settings="pair:two_topics_music"))["sentences"]
    painted = []
    for token in shown.all("lesson-token"):
        red, green, blue = map(int, re.findall(r"\d+", token.node["style"]["background"]))
        painted.append((number(token.node["children"][1]["children"][0]), red - blue, red + green + blue))
    clear = [(adds, redder) for adds, redder, _ in painted if abs(adds) > 0.002]
    assert min(clear)[0] < 0 < max(clear)[0]
    assert all((adds > 0) == (redder > 0) for adds, redder in clear)
    lightness = [light for _, _, light in sorted(painted, key=lambda item: abs(item[0]))]
    assert lightness[0] > lightness[len(lightness) // 2] > lightness[-1]


def test_attention_is_explained_for_tokens(open_page):
    shown = boards(open_page(PAGE, lesson="10", settings="pooling:attention"))["sentences"].text
    assert "Attention: Tokens that resemble the sentence's average count more, the same for all channels." in shown
    assert not re.search("osition|photo", shown)


def test_a_link_to_a_pair_that_does_not_exist_is_a_sentence_and_an_example_is_shown(open_page):
    page = open_page(PAGE, lesson="10", settings="pair:own")
    assert not page.exception
    assert any("“own”" in notice for notice in notices(page))
    assert "lesson-token" in str(boards(page)["sentences"].node)


# Any network.


def test_where_nothing_can_be_taken_apart_three_lessons_say_why_and_sentences_are_compared(put, open_page, examples):
    put(seen(network_of(seeded(Flattened), title="Flat"), examples["cat"]))
    for lesson in ("6", "7", "9"):
        page = open_page(PAGE, lesson=lesson)
        assert not page.exception
        assert is_plain_sentence(boards(page)["unanswered"].text)
        assert "instead of pooling them" in boards(page)["unanswered"].text
    page = open_page(PAGE, lesson="10")
    assert not page.exception
    assert "unanswered" not in boards(page)


def test_the_numbers_are_those_of_another_network_with_another_grid(put, open_page, make_network, examples):
    network, photo = make_network(channels=12, seed=3), examples["cat"]
    weight, bias = (item.detach().numpy().astype(float) for item in (network.head.weight, network.head.bias))

    def of(image: Image.Image, *framed: object) -> Measured:
        return Measured(analyse(network, image, *framed).feature_maps.numpy().astype(float), weight, bias,
                        network.class_names)

    put(analyse(network, photo, "whole"))
    there = of(photo, "whole")
    (best,), grid = there.best(1), there.maps.shape[1:]
    assert grid == (4, 6)
    shown = boards(open_page(PAGE, lesson="6"))["place"]
    for key, row in zip(POOLINGS, rows_of(shown.one("lesson-table"))[1:9], strict=True):
        assert number(row[1]) == pytest.approx(there.logits(key)[best], abs=0.0051)
        assert max(map(share, row[3:])) <= 1e-6
    cells = there.cells(best)
    places = flood(cells, 0.2)
    box = box_around(places, (0, 0, *photo.size), grid)
    page = open_page(PAGE, lesson="9")
    assert viewers(page)["box"].chosen.box == pytest.approx(box)
    assert f"{len(places)} of 24 positions" in boards(page)["located"].text
    scene = of(pasted(photo, box, 0.28, side=192), "squash", 192)
    result = rows_of(boards(open_page(PAGE, lesson="7"))["pasted"].one("lesson-table"))
    for row, key in zip(result[1:], ("gap", "gmp", "gem:p=3"), strict=True):
        assert number(row[1]) == pytest.approx(scene.logits(key)[best], abs=0.006)
        assert row[3] == percent(scene.probabilities(key)[best])
