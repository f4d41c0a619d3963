"""What the cases say is true: each claim of their sentences is derived from the bundled network's numbers."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from explorer import analyse, read_image
from explorer.questions.cases import CASES, FRAMING, NETWORK
from explorer.questions.edited_photo import analysed_again, changed_photo

HELMET = (278, 343, 512, 512)  # left, top, right, bottom on the photo of the astronaut
FACE = (150, 15, 300, 190)
COFFEE = (200, 92, 373, 195)  # on the photo of the cup
TEXT = (125, 95, 475, 302)  # what the text may cover on the photo of the cat and the coffee


@pytest.fixture(scope="module")
def analysed(network):
    """By path below assets: the analysis of a photo, as a case is opened."""
    done = {}

    def of(photo):
        if photo not in done:
            done[photo] = analyse(network, read_image(CASES["characters"].file.parents[1] / photo), FRAMING)
        return done[photo]

    return of


@pytest.fixture
def opened(analysed):
    return lambda key: analysed(CASES[key].photo)


def share_inside(analysis, values, box) -> float:
    """Of what is positive, how much lies inside a box: a position counts by how much of it does."""
    left, top, right, bottom = box
    inside = total = 0.0
    for row, rectangles in zip(values.tolist(), analysis.framing.rectangles.tolist(), strict=True):
        for value, (x0, y0, x1, y1) in zip(row, rectangles, strict=True):
            width = max(0.0, min(x1, right) - max(x0, left))
            height = max(0.0, min(y1, bottom) - max(y0, top))
            inside += max(value, 0.0) * width * height / ((x1 - x0) * (y1 - y0))
            total += max(value, 0.0)
    return inside / total


def centres_inside(analysis, box) -> np.ndarray:
    """(H, W) bool: the positions whose centre lies in a box."""
    rectangles = analysis.framing.rectangles
    x, y = (rectangles[..., 0] + rectangles[..., 2]) / 2, (rectangles[..., 1] + rectangles[..., 3]) / 2
    return (x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3])


def answers(analysis, count=1, pooling=None) -> list[str]:
    return [answer.name for answer in analysis.under(pooling).top(count)]


def cells(analysis, class_index) -> np.ndarray:
    return analysis.under().evidence(class_index).cells.double().numpy()


def pixels(photo: Image.Image) -> np.ndarray:
    return np.asarray(photo).astype(float)


# What every case is.


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_case_has_two_sentences_and_photos_that_are_there(case, network):
    assert network.name == NETWORK
    assert CASES[case.key] is case
    for sentence in case.look:
        assert len(re.findall(r"[.!?](?:\s|$)", sentence)) == 1
        assert sentence.endswith(".")
    assert case.file.is_file()
    assert not case.beside or (case.file.parents[1] / case.beside).is_file()
    assert case.example == ("" if case.photo.startswith("cases/") else case.file.stem)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_sentences_name_the_classes_of_the_case(case, network):
    shown = " ".join(case.look).lower()
    for index in (case.class_index, case.rival):
        assert network.class_names[index].lower() in shown


def test_drawn_photos_are_small():
    assert all(CASES[key].file.stat().st_size < 120_000 for key in ("characters", "letters", "empty_cup"))


# The football helmet.


def test_the_astronaut_is_taken_for_a_football_helmet_before_a_bobsled(opened):
    assert answers(opened("football_helmet"), 2) == ["football helmet", "bobsled"]


def test_more_than_half_of_what_speaks_for_the_helmet_lies_on_it_and_little_on_her_face(opened):
    analysis = opened("football_helmet")
    evidence = cells(analysis, 560)
    assert share_inside(analysis, evidence, HELMET) > 0.5
    assert share_inside(analysis, np.ones_like(evidence), HELMET) < 0.15
    assert share_inside(analysis, evidence, FACE) < 0.1


def test_the_helmet_tips_the_balance_against_the_bobsled(opened):
    analysis = opened("football_helmet")
    assert share_inside(analysis, cells(analysis, 560) - cells(analysis, 450), HELMET) > 0.6


@pytest.mark.parametrize("fill", ["blur", "inpaint"])
def test_without_the_helmet_another_class_is_the_answer(opened, fill):
    analysis = opened("football_helmet")
    without = analysed_again(analysis, changed_photo(analysis, centres_inside(analysis, HELMET), fill))
    assert answers(without) != ["football helmet"]
    lost = (analysis.under().logits - without.under().logits).tolist()
    assert lost[560] > lost[450] + 0.5


# Two objects.


def test_what_speaks_for_each_object_lies_on_it_and_a_pale_seam_lies_between(opened):
    analysis = opened("two_objects")
    assert answers(analysis, 2) == ["espresso", "Egyptian cat"]
    espresso, cat = cells(analysis, 967), cells(analysis, 285)
    assert share_inside(analysis, espresso, (300, 0, 600, 400)) > 0.8
    assert share_inside(analysis, cat, (0, 0, 300, 400)) > 0.8
    contrast = espresso - cat
    assert (contrast[:, :3] < 0).all()
    assert (contrast[:, 4:] > 0).all()
    assert np.abs(contrast[:, 3]).mean() < 0.25 * np.abs(np.delete(contrast, 3, 1)).mean()


# Characters and letters.


def test_under_the_characters_the_answer_is_carton_and_every_position_speaks_for_it_a_little(opened):
    analysis = opened("characters")
    assert answers(analysis) == ["carton"]
    evidence = cells(analysis, 478)
    assert (evidence > 0).all()
    assert evidence.max() < 0.05 * evidence.sum()


def test_no_class_rises_as_much_as_carton_does_under_the_characters(opened, analysed):
    change = opened("characters").under().logits - analysed("examples/cat_and_coffee.jpg").under().logits
    assert int(change.argmax()) == 478
    assert change[478] > 5


def test_under_the_letters_the_answer_is_a_cat_and_carton_stands_no_higher_than_without_text(opened, analysed):
    letters = opened("letters").under()
    assert answers(opened("letters")) == ["Egyptian cat"]
    assert letters.answer(478).rank > 50
    assert letters.logits[478] <= analysed("examples/cat_and_coffee.jpg").under().logits[478]
    assert opened("characters").under().logits[478] > letters.logits[478] + 1


def test_under_gmp_the_cat_wins_over_the_characters(opened):
    assert answers(opened("characters"), pooling="gmp") == ["Egyptian cat"]


def test_characters_and_letters_are_alike_but_for_what_they_say(analysed):
    plain, *drawn = (pixels(analysed(photo).image)
                     for photo in ("examples/cat_and_coffee.jpg", "cases/characters.jpg", "cases/letters.jpg"))
    left, top, right, bottom = TEXT
    whiter, spans = [], []
    for photo in drawn:
        change = (photo - plain).mean(-1)
        outside = change.copy()
        outside[top:bottom, left:right] = 0
        assert np.abs(outside).max() < 20  # what the second JPEG compression did
        columns = np.flatnonzero((change > 40).any(0))
        spans.append((columns[0], columns[-1]))
        whiter.append(change[top:bottom, left:right].mean())
    assert np.abs(np.subtract(*spans)).max() <= 4
    assert 0.8 < whiter[1] / whiter[0] < 1.25


# The empty cup.


def test_only_what_was_coffee_differs_on_the_empty_cup(analysed):
    change = np.abs(pixels(analysed("cases/empty_cup.jpg").image) - pixels(analysed("examples/coffee.jpg").image))
    left, top, right, bottom = COFFEE
    assert change[110:180, 240:330].mean() > 50
    change[top - 6 : bottom + 6, left - 6 : right + 6] = 0
    assert change.mean(-1).max() < 20


def test_without_its_coffee_it_is_still_an_espresso_far_ahead_of_a_cup(opened, analysed):
    assert answers(analysed("examples/coffee.jpg")) == ["espresso"]
    assert answers(opened("empty_cup"), 2) == ["espresso", "cup"]
    outcome = opened("empty_cup").under()
    assert outcome.answer(967).probability > 5 * outcome.answer(968).probability


def test_most_evidence_lies_off_the_coffee_but_the_strongest_in_the_empty_cup(opened):
    analysis = opened("empty_cup")
    evidence = cells(analysis, 967)
    assert share_inside(analysis, evidence, COFFEE) < 0.4
    assert centres_inside(analysis, COFFEE).flat[evidence.argmax()]


@pytest.mark.parametrize("name", ["astronaut", "rocket"])
def test_the_same_coffee_in_other_surroundings_is_no_espresso(network, examples, analysed, name):
    full, empty = (analysed(photo).image for photo in ("examples/coffee.jpg", "cases/empty_cup.jpg"))
    coffee = np.abs(pixels(full) - pixels(empty)).mean(-1) > 24
    surroundings = examples[name].resize(full.size)
    moved = Image.composite(full, surroundings, Image.fromarray(coffee.astype(np.uint8) * 255))
    assert answers(analyse(network, moved, FRAMING)) != ["espresso"]


@pytest.mark.parametrize("name", ["astronaut", "rocket"])
def test_in_other_surroundings_the_strongest_position_of_the_empty_cup_loses_most_evidence(
    network, examples, opened, name
):
    analysis = opened("empty_cup")
    evidence = cells(analysis, 967)
    moved = examples[name].resize(analysis.image.size)
    moved.paste(analysis.image.crop(COFFEE), COFFEE)
    there = cells(analyse(network, moved, FRAMING), 967)
    assert there.flat[evidence.argmax()] < 0.5 * evidence.max()
