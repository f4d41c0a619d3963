"""What the lessons ask to notice is true of the photo at hand: of all six examples, and computed again."""

from __future__ import annotations

import re

import numpy as np
import pytest
from safetensors.torch import load_file

from explorer import analyse
from explorer.heads import sample
from explorer.lessons import average_or_maximum as lesson
from explorer.lessons.average_or_maximum import Growth
from explorer.networks.loading.bundled import ASSETS
from explorer.ui.pages.lessons import attention, average_or_maximum
from explorer.ui.session.session import EXAMPLES
from explorer.wording import percent, plain, signed
from tests.pages.arithmetic import Measured
from tests.pages.boards import boards

PAGE = "pages/6_Lessons.py"


def expected(number: int, seen: Measured) -> str:
    """The numbers that a lesson's sentence must hold, from the maps and the head alone."""
    answer = seen.best(1)[0]
    paid = seen.paid(answer, "gap")
    if number == 1:
        return f"Channel {paid.argmax()} adds {signed(paid.max())} to the logit of {seen.names[answer].lower()}, " \
               f"{plain(seen.logits()[answer])};"
    if number == 2:
        return "One number is left of 49: this is GMP"
    if number == 4:
        return f"has {percent(seen.probabilities()[answer])}"
    return f"{signed(seen.cells(answer).max())} logits"


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_sentence_of_a_lesson_has_the_numbers_of_the_photo(example, open_page, measured):
    seen = measured(example)
    for number, settings in ((1, "step:2"), (2, "window:7"), (4, "size:96"), (6, "shuffle:0")):
        text = boards(open_page(PAGE, example=example, lesson=str(number), settings=settings))["notice"].text
        assert expected(number, seen).lower() in text.lower(), (number, text)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_gate_is_said_not_to_mix_for_it_does_not(example, open_page, measured):
    gated = load_file(ASSETS / "heads" / "flowers_gated.safetensors")
    weight, bias = gated["gate.weight"].double().ravel().numpy(), float(gated["gate.bias"])

    def gate(average: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-(average @ weight + bias)))

    flowers = sample().features
    averages = [flowers.floats(slice(n, n + 50)).mean((2, 3)).double().numpy() for n in range(0, 600, 50)]
    assert gate(measured(example).maps.mean((1, 2))) < 0.0005
    assert max(gate(part).max() for part in averages) < 0.0005
    text = boards(open_page(PAGE, example=example, lesson="8"))["notice"].text
    assert "this gate does not mix" in text
    assert text.endswith("and the flowers of its training the average has <0.1%.")


def test_a_gate_that_varies_is_said_to_mix_anew():
    assert "the gate gives the average 20% to 70%" in attention._of_gates({"This photo": 0.2, "A cat": 0.7, "no": None})
    assert attention._of_gates({}) == ""


@pytest.mark.parametrize("example", EXAMPLES)
def test_average_or_maximum_is_contradicted_by_two_of_the_six_examples_and_says_so(example, network, examples):
    """The half ways themselves are derived a second time in test_lessons_shown.py."""
    analysis = analyse(network, examples[example])
    growth = lesson.growing(analysis, lesson.Setting(analysis.under().top(1)[0].class_index))
    average, maximum, _ = growth.half_way
    sentence = average_or_maximum._notice(growth)
    assert (maximum < average) == (example not in ("cat_and_coffee", "rocket"))
    assert sentence.startswith("This photo does not show it: ") == (maximum > average)
    assert sentence.endswith(f"an object of {percent(maximum)} of the scene's side, GAP with {percent(average)}.")


@pytest.mark.parametrize(("average", "maximum", "begin"), [
    (0.72, 0.1, "GMP reaches half of its rise with an object of 10%"), (0.2, 0.4, "This photo does not show it: "),
    (np.nan, 0.4, "On this photo no size of the object raises the logit under GAP"),
    (0.4, np.nan, "On this photo no size of the object raises the logit under GMP"),
    (0.301, 0.302, "On this photo both"),
])
def test_average_or_maximum_says_whether_the_photo_shows_the_claim(average, maximum, begin):
    growth = Growth(np.array([0.1, 1.0]), ("GAP", "GMP", "GeM"), np.zeros(3), np.zeros((3, 2)),
                    np.array([average, maximum, 0.3]))
    sentence = average_or_maximum._notice(growth)
    assert sentence.startswith(begin)
    assert re.fullmatch(r"[A-Z].*\.", sentence)
