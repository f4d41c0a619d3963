"""The summary never says what the numbers do not: made-up analyses are read, each number counted again in loops."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from explorer import analyse
from explorer.analysis import Outcome
from explorer.errors import ParameterError
from explorer.framing import Preprocessing
from explorer.networks import Network
from explorer.networks.calibration import Calibration
from explorer.questions.edited_photo import changed_photo
from explorer.questions.evidence_place import holding_half
from explorer.sections.summary import Part, as_text, summary
from explorer.wording import percent
from tests.explorer import layered
from tests.explorer import second_derivations as again
from tests.explorer.tiny import linear, with_backbone

NAN = float("nan")
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
GREY = (128, 128, 128)


class Colours(nn.Module):
    """(B, 3, 96, 96) to (B, 3, n, n): the mean red, green and blue of each square, 0 to 1. It counts its calls."""

    def __init__(self, side: int = 24) -> None:
        super().__init__()
        self.side = side
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return nn.functional.avg_pool2d(x, self.side)


def made_up(make_network, rows: list[list[float]], biases: list[float], side: int = 24, **changes: object) -> Network:
    """A network whose feature maps are a photo's own colours."""
    head = linear([[float(value) for value in row] for row in rows], [float(value) for value in biases])
    network = make_network(head, classes=len(biases), channels=3)
    plain = Preprocessing(size=96, stride=side, mean=(0, 0, 0), std=(1, 1, 1), interpolation="box")
    return dataclasses.replace(with_backbone(network, Colours(side)), preprocessing=plain, **changes)


def squares(colours: dict[tuple[int, int], tuple[int, int, int]], rest: tuple[int, int, int] = (0, 0, 0),
            side: int = 24) -> Image.Image:
    """96 x 96 px of squares of one colour, those named by row and column."""
    pixels = np.zeros((96, 96, 3), np.uint8)
    pixels[:] = rest
    for (i, j), colour in colours.items():
        pixels[side * i : side * (i + 1), side * j : side * (j + 1)] = colour
    return Image.fromarray(pixels)


def maps_of(photo: Image.Image, side: int = 24) -> again.Maps:
    """What `Colours` gives, in plain loops."""
    pixels = np.asarray(photo).tolist()
    count = 96 // side
    return [[[sum(pixels[y][x][k] for y in range(side * i, side * (i + 1)) for x in range(side * j, side * (j + 1)))
              / side ** 2 / 255 for j in range(count)] for i in range(count)] for k in range(3)]


def said_of(network: Network, photo: Image.Image, key: str, *parameter: float, side: int = 24) -> list[float]:
    """Logits, in plain loops."""
    head = network.head
    return again.linear(head.weight.double().tolist(), head.bias.double().tolist(),
                        again.pooled(key, maps_of(photo, side), *parameter))


def shares_of(logits: list[float], activation: str = "softmax", factor: float = 1.0) -> list[float]:
    if activation == "sigmoid":
        return [1 / (1 + math.exp(-factor * logit)) for logit in logits]
    powers = [math.exp(factor * (logit - max(logits))) for logit in logits]
    return [power / sum(powers) for power in powers]


def fewest(values: list[float]) -> tuple[int, float]:
    """How many of the largest positive numbers carry half of all that is positive, and which share they carry."""
    positive = sorted((value for value in values if value > 0), reverse=True)
    running, count = 0.0, 0
    while running < 0.5 * sum(positive) - 1e-9:
        running += positive[count]
        count += 1
    return count, running / sum(positive)


def word(number: int) -> str:
    return WORDS[number] if number < len(WORDS) else str(number)


def numbered(sentences: list[list[Part]]) -> list[tuple[str, str]]:
    """The stretches that say where they are from, in order."""
    return [(part.text, part.source) for sentence in sentences for part in sentence if part.source]


def without_names(sentences: list[list[Part]], outcome: Outcome) -> str:
    """What no source is given for, without names of classes and poolings, which may hold any number."""
    text = "".join(part.text for sentence in sentences for part in sentence if not part.source and not part.name)
    for name in (*outcome.analysis.network.class_names, outcome.name):
        text = text.replace(name, "")
    return text


# All sentences at once, over many made-up analyses.


def expected(network: Network, photo: Image.Image, outcome: Outcome, requests: int, rival: int | None,
             parameter: tuple[float, ...], calibrated: bool) -> list[tuple[str, str]]:
    """Every number of the summary of a softmax over classes, and the question that it answers, in loops."""
    key, head = outcome.pooling, network.head
    factor = network.calibration.multiplier(key, outcome.parameters) if calibrated and key != "gap" else None
    maps, logits = maps_of(photo), said_of(network, photo, key, *parameter)
    shares = shares_of(logits, factor=factor or 1.0)
    weights, pooled = again.pooling_weights(key, maps, *parameter), again.pooled(key, maps, *parameter)
    rows = head.weight.double().tolist()
    cells = again.evidence(maps, weights, pooled, rows[requests])
    rank = 1 + sum(logit > logits[requests] for logit in logits)
    result = [] if rank == 1 else [(f"Rank {rank}", "against")]
    result += [(percent(shares[index]), "against") for index in (requests, rival) if index is not None]

    values = [value for row in cells for value in row]
    if any(value > 1e-12 for value in values):
        count, share = fewest(values)
        result += [(f"{word(count).capitalize()} of 16 positions", "against"), (percent(share), "against")]
        order = sorted(range(16), key=lambda place: -values[place])[:count]
        chosen = np.array([place in order for place in range(16)]).reshape(4, 4)
        after = said_of(network, changed_photo(outcome.analysis, chosen, "blur"), key, *parameter)
        instead = requests if rank > 1 else after.index(max(after))
        result.append((percent(shares_of(after, factor=factor or 1.0)[instead]), "without"))

    if rival is not None:
        apart = logits[requests] - logits[rival]
        side = [(rows[requests][k] - rows[rival][k]) * pooled[k] * (1 if apart >= 0 else -1) for k in range(3)]
        if any(value > 1e-12 for value in side):
            result += [(f"{abs(apart):.2f} logits", "against"), (f"{fewest(side)[0]} of 3 channels", "against")]

    edge = [max(cells[i][j], 0) for i in range(4) for j in range(4) if i in (0, 3) or j in (0, 3)]
    inside = [max(cells[i][j], 0) for i in (1, 2) for j in (1, 2)]
    if sum(edge) + sum(inside) > 0 and sum(edge) / (sum(edge) + sum(inside)) > 1.25 * 12 / 16:
        assert percent(sum(edge) / (sum(edge) + sum(inside))) in as_text(summary(outcome, requests, rival, calibrated))
        result.append(("", "stable"))
    return result


@pytest.mark.parametrize(("key", "parameter", "calibrated"), [
    ("gap", (), False), ("gmp", (), False), ("gmp", (), True), ("gem", (4.0,), False), ("attention", (0.5,), True),
])
def test_every_number_of_every_sentence_is_counted_again_and_says_where_it_is_from(
    make_network, key, parameter, calibrated
):
    generator, kinds = np.random.default_rng(len(key) + 10 * calibrated), set()
    for _ in range(12):
        rows = (generator.normal(0, 3, (3, 3)) - 1).tolist()
        network = made_up(make_network, rows, generator.normal(0, 0.5, 3).tolist(), calibration=Calibration(
            {"gmp": ((0.0, 0.25),), "attention": ((0.1, 0.5), (0.5, 0.5))}))
        photo = Image.fromarray(np.kron(generator.integers(0, 256, (4, 4, 3)), np.ones((24, 24, 1))).astype(np.uint8))
        named = {"gem": {"p": 4.0}, "attention": {"t": 0.5}}.get(key, {})
        outcome = analyse(network, photo, "squash").under(key, **named)
        requests, rival = map(int, generator.choice(3, 2, replace=False))
        shown = summary(outcome, requests, rival, calibrated)
        goal = expected(network, photo, outcome, requests, rival, parameter, calibrated)
        got = [(text if source != "stable" else "", source) for text, source in numbered(shown)]
        assert got == goal, as_text(shown)
        assert not re.search(r"\d|%", without_names([s for s in shown if s[0].source != "stable"], outcome))
        kinds |= {sentence[0].text.split()[0] for sentence in shown}
    assert {"Prediction:", "Rank", "With"} <= kinds  # the prediction and others, and a photo without the evidence


def test_the_names_are_those_of_the_classes_and_are_marked_as_such(make_network):
    network = made_up(make_network, [[9, 0, 0], [0, 9, 0], [0, 0, 9]], [0, 0, 0],
                      class_names=("red", "green " * 30, "<b>blue</b>"))
    outcome = analyse(network, squares({(1, 1): (255, 0, 0), (2, 2): (0, 200, 0)}), "squash").under()
    long = ("green " * 30)[:79].rstrip() + "…"
    for requests, rival in ((0, 1), (0, 2), (1, 2)):
        names = [part.text for sentence in summary(outcome, requests, rival) for part in sentence if part.name]
        assert set(names) <= {"red", long, "<b>blue</b>"}
        assert names[:2] == [("red", long, "<b>blue</b>")[index] for index in (requests, rival)]


# One sentence after the other, in words.


RGB = [[8.0, 0.0, 0.0], [0.0, 8.0, 0.0], [0.0, 0.0, 8.0]]


def sentences(outcome: Outcome, requests: int, rival: int | None, calibrated: bool = False) -> list[str]:
    return [as_text([sentence]) for sentence in summary(outcome, requests, rival, calibrated)]


def test_the_answer_the_place_the_photo_without_it_and_what_decides(make_network):
    # Red in one square of sixteen: pooled 1/16, half a logit; half as much green in another one.
    network = made_up(make_network, RGB, [0, 0, 0])
    photo = squares({(1, 2): (255, 0, 0), (2, 1): (0, 51, 0)})
    outcome = analyse(network, photo, "squash").under()
    one, other, _ = shares_of([0.5, 0.1, 0.0])
    first, lies, without, decides = sentences(outcome, 0, 1)
    assert first == f"Prediction: class 0 ({one:.0%}), ahead of class 1 ({other:.0%})."
    assert lies == "One of 16 positions, in the middle, holds 100% of the positive evidence."
    assert re.fullmatch(r"With it blurred the prediction stays \(\d\d%\)\.", without)
    assert decides == "It is 0.40 logits ahead of class 1; 1 of 3 channels holds half of the evidence for class 0 " \
                      "over class 1."
    assert sentences(outcome, 1, 0)[0].startswith("Rank 2: class 1 (")
    assert sentences(outcome, 1, 0)[3] == "It is 0.40 logits behind class 0; 1 of 3 channels holds half of the " \
                                          "evidence for class 0 over class 1."


@pytest.mark.parametrize(("key", "bias", "calibrated", "factor"), [
    ("gap", 0.5, False, 1), ("gmp", 7, False, 1), ("gmp", 7, True, 0.25)])
def test_what_it_says_instead_is_named_with_its_own_probability(make_network, key, bias, calibrated, factor):
    network = made_up(make_network, [[9, 0, 0], [0, 1, 0], [0, 0, 0]], [0, bias, 0.2],
                      calibration=Calibration({"gmp": ((0.0, 0.25),)}))
    outcome = analyse(network, squares({(1, 2): (255, 0, 0)}), "squash").under(key)
    chosen = np.zeros((4, 4), bool)
    chosen[1, 2] = True
    after = said_of(network, changed_photo(outcome.analysis, chosen, "blur"), key)
    assert sentences(outcome, 0, 1, calibrated)[1:3] == [
        "One of 16 positions, in the middle, holds 100% of the positive evidence.",
        f"With it blurred the prediction is class 1 ({percent(shares_of(after, factor=factor)[1])})."]
    assert after[1] == max(after)


def test_where_nothing_is_positive_nothing_is_said_to_speak_for_it(make_network):
    network = made_up(make_network, [[-5.0, 0, 0], [-9.0, -1, 0]], [3, 1])
    outcome = analyse(network, squares({(0, 0): GREY}, rest=(40, 40, 0)), "squash").under()
    shown = sentences(outcome, 0, 1)
    assert shown[1] == "It has no positive evidence on the photo."
    assert len(shown) == 3
    assert "without" not in {source for _, source in numbered(summary(outcome, 0, 1))}
    # Channels may all speak for the rival, or for no one, while the baselines decide.
    network = made_up(make_network, [[-5.0, 0, 0], [-4.0, 0, 0]], [3, 1])
    outcome = analyse(network, squares({}, rest=(40, 40, 0)), "squash").under()
    assert sentences(outcome, 0, 1)[-1] == "No channel favours class 0 over class 1."


def test_of_a_tie_none_is_ahead(make_network):
    network = made_up(make_network, [[4.0, 2, 0], [2.0, 4, 0], [0, 0, 0]], [0, 0, 0])
    outcome = analyse(network, squares({(1, 1): (255, 255, 0)}), "squash").under()
    for requests, rival in ((0, 1), (1, 0)):
        first, *_, last = sentences(outcome, requests, rival)
        share = math.exp(6 / 16) / (2 * math.exp(6 / 16) + 1)
        assert first == f"Prediction: class {requests} ({share:.0%}), level with class {rival} ({share:.0%})."
        assert last == (f"It is level with class {rival}; 1 of 3 channels holds half of the evidence for class "
                        f"{requests} over class {rival}.")
    same = made_up(make_network, [[4.0, 2, 0]] * 2, [0, 0])
    outcome = analyse(same, squares({(1, 1): (255, 255, 0)}), "squash").under()
    assert sentences(outcome, 0, 1)[-1] == "No channel favours class 0 over class 1."
    assert "ahead" not in " ".join(sentences(outcome, 0, 1))


@pytest.mark.parametrize(("weight", "sentence"), [
    (3.0, "There is only one position, and it holds all the positive evidence."),
    (-3.0, "It has no positive evidence on the photo."),
])
def test_one_position_alone_has_no_place_and_cannot_be_left_out(make_network, weight, sentence):
    network = made_up(make_network, [[weight, 0, 0], [0, 0, 0]], [0, 0], side=96)
    before = network.backbone.calls
    shown = sentences(analyse(network, squares({}, rest=GREY), "squash").under(), 0, 1)
    assert shown[1] == sentence
    assert len(shown) == 3
    assert network.backbone.calls - before == 1


class Infinite(Colours):
    """Infinite where a square is bright."""

    def forward(self, x: Tensor) -> Tensor:
        maps = super().forward(x)
        return torch.where(maps > 0.4, torch.inf, maps)


@pytest.mark.parametrize(("backbone", "weight", "wrong"), [
    (Colours, NAN, "16 of 16"), (Infinite, 1.0, "two of 16")])
def test_what_is_not_a_number_is_said_to_be_none_and_nothing_is_made_of_it(make_network, backbone, weight, wrong):
    network = with_backbone(made_up(make_network, [[weight, 1, 0], [1, 2, 1]], [0, 0]), backbone())
    outcome = analyse(network, squares({(1, 1): GREY, (0, 3): GREY, (3, 3): (90, 0, 0)}), "squash").under()
    shown = sentences(outcome, 0, 1)
    assert shown == [
        "The probability of class 0 is not a number.", f"Its evidence is not a number at {wrong} positions.",
        "How far it is from class 1 is not a number."]
    assert numbered(summary(outcome, 0, 1)) == [(f"{wrong} positions", "against")]


def test_a_photo_without_it_may_leave_no_number(make_network):
    class Breaks(Colours):
        def forward(self, x: Tensor) -> Tensor:
            maps = super().forward(x)
            return maps if self.calls == 1 else maps * NAN

    network = with_backbone(made_up(make_network, RGB, [0, 0, 0]), Breaks())
    outcome = analyse(network, squares({(1, 1): (255, 0, 0)}), "squash").under()
    assert sentences(outcome, 0, 1)[2] == "With it blurred its probability is not a number."


def test_one_class_has_no_rival(make_network):
    network = made_up(make_network, [[3.0, 0, 0]], [0])
    outcome = analyse(network, squares({(1, 1): (255, 0, 0)}), "squash").under()
    assert sentences(outcome, 0, None) == [
        "Prediction: class 0 (100%).", "One of 16 positions, in the middle, holds 100% of the positive evidence.",
        "With it blurred the prediction stays (100%)."]


@pytest.mark.parametrize(("bias", "verb"), [(0.3, "Above 50%:"), (-2.0, "Not above 50%:")])
def test_where_each_class_is_asked_by_itself_none_is_ahead_and_none_takes_its_place(make_network, bias, verb):
    network = made_up(make_network, RGB, [bias, 1.0, 0], activation="sigmoid")
    photo = squares({(1, 1): (255, 51, 0)})
    outcome = analyse(network, photo, "squash").under()
    logits = said_of(network, photo, "gap")
    shares = shares_of(logits, "sigmoid")
    first, _, without, decides = sentences(outcome, 0, 1)
    assert first == f"{verb} class 0 ({percent(shares[0])}), beside class 1 ({percent(shares[1])})."
    chosen = np.zeros((4, 4), bool)
    chosen[1, 1] = True
    after = shares_of(said_of(network, changed_photo(outcome.analysis, chosen, "blur"), "gap"), "sigmoid")[0]
    assert without == f"With it blurred its probability is {percent(after)}."
    assert decides.startswith(f"It is {abs(logits[0] - logits[1]):.2f} logits behind class 1; ")
    alone = made_up(make_network, RGB[:1], [bias], activation="sigmoid")
    assert sentences(analyse(alone, photo, "squash").under(), 0, None)[0] == f"{verb} class 0 ({percent(shares[0])})."


def test_a_what_if_is_called_one_and_only_its_probabilities_are_mended(make_network):
    network = made_up(make_network, RGB, [0, 0, 0], calibration=Calibration({"gmp": ((0.0, 0.25),)}))
    photo = squares({(1, 1): (255, 0, 0), (2, 2): (0, 204, 0)})
    outcome = analyse(network, photo, "squash").under("gmp")
    for calibrated, factor in ((False, 1.0), (True, 0.25)):
        shares = shares_of([8, 6.4, 0], factor=factor)
        first, *_, last = sentences(outcome, 0, 1, calibrated)
        assert first == (f"Prediction: class 0 ({percent(shares[0])}), ahead of class 1 ({percent(shares[1])}) "
                         "under GMP, a what-if.")
        assert last.startswith("It is 1.60 logits ahead of class 1; ")
    assert "what-if" not in as_text(summary(outcome.analysis.under(), 0, 1))


def test_the_warning_about_edges_is_there_where_they_carry_more_than_their_share(make_network):
    network = made_up(make_network, RGB, [0, 0, 0])
    at_edges = squares({(0, 1): (255, 0, 0), (3, 3): (255, 0, 0), (2, 0): (255, 0, 0), (1, 1): (9, 0, 0)})
    within = squares({(1, 1): (255, 0, 0), (1, 2): (255, 0, 0), (0, 0): (255, 0, 0)})
    shown = summary(analyse(network, at_edges, "squash").under(), 0, 1)
    (warning,) = shown[-1]
    assert warning.source == "stable"
    # 12 of 16 positions lie at an edge; 765 of 774 of the red does.
    assert warning.text.startswith("The outermost positions are 75% of all and hold 99% of the positive evidence: ")
    assert "stable" not in {source for _, source in numbered(summary(analyse(network, within, "squash").under(), 0, 1))}


def test_where_nothing_can_be_taken_apart_nothing_is_said_in_logits():
    for activation, verb in (("softmax", "Prediction:"), ("sigmoid", "Above 50%:")):
        network = layered.network(pooled=False, activation=activation)
        outcome = analyse(network, layered.photo()).under()
        logits = network.layers.logits(outcome.analysis.input)[0].double().tolist()
        best = logits.index(max(logits))
        shown = summary(outcome, best, (best + 1) % 4)
        assert as_text(shown[:1]).startswith(f"{verb} {layered.CLASSES[best]} "
                                            f"({percent(shares_of(logits, activation)[best])})")
        assert as_text(shown[1:]) == (f"{layered.FLATTENS} So places are located by gradients, in no unit, and "
                                      "every claim is tested on the photo.")
        assert len(shown) == 2
        assert "logits ahead" not in as_text(shown)


# What it asks of the network.


def test_it_takes_one_forward_pass_once(make_network):
    network = made_up(make_network, RGB, [0, 0, 0])
    outcome = analyse(network, squares({(1, 1): (255, 0, 0)}), "squash").under()
    for calls in (2, 2):
        summary(outcome, 0, 1)
        summary(outcome, 0, 2, True)
        assert network.backbone.calls == calls


def test_classes_that_do_not_exist_or_are_the_same_are_refused(make_network):
    outcome = analyse(made_up(make_network, RGB, [0, 0, 0]), squares({}), "squash").under()
    for requests, rival in ((3, 0), (0, 3), (-1, 0)):
        with pytest.raises(ParameterError, match="no class"):
            summary(outcome, requests, rival)
    with pytest.raises(ParameterError, match="two different classes"):
        summary(outcome, 1, 1)


def test_the_positions_that_hold_half_are_the_fewest_and_ties_go_by_place():
    cells = np.array([[3.0, NAN, -9.0], [2.0, 2.0, 1.0]])
    assert holding_half(cells).tolist() == [[True, False, False], [True, False, False]]
    assert holding_half(np.array([[1.0, math.inf], [4.0, -math.inf]])).tolist() == [[False, False], [True, False]]
    assert holding_half(np.array([[0.0, -1.0]])) is None
    assert holding_half(np.array([[NAN]])) is None
