"""What the lessons ask to notice is true of the photo at hand: of all six examples, and computed again."""

from __future__ import annotations

import json
import re
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from explorer import analyse
from explorer.heads import Epoch, Run, sample
from explorer.lessons import average_or_maximum as lesson
from explorer.lessons.average_or_maximum import Growth
from explorer.lessons.sentences import PAIRS
from explorer.networks.loading.bundled import ASSETS
from explorer.ui.pages.lessons import attention, average_or_maximum, overfitting
from explorer.ui.session.session import EXAMPLES
from explorer.wording import percent, plain, signed
from tests.pages.arithmetic import Measured, enlarged, flood, pooled, weights
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


def notice(open_page, **link: str) -> str:
    return boards(open_page(PAGE, **link))["notice"].text.removeprefix("Notice: ")


@pytest.mark.parametrize(("example", "size"), [*zip(EXAMPLES, (96, 160, 224, 288, 416, 640), strict=True)])
def test_the_parameters_of_both_heads_are_those_of_a_linear_on_the_maps_of_that_size(example, size, open_page, network):
    channels, rows, columns = network.backbone(torch.zeros(1, 3, size, size))[0].shape
    gap, flatten = channels * 1000 + 1000, channels * rows * columns * 1000 + 1000
    assert notice(open_page, example=example, lesson="3", settings=f"size:{size}") == (
        f"At {size} px a head after GAP has {gap:,} parameters, as at any size; after flatten {flatten:,}, "
        f"{flatten / gap:.0f} times as many.")


ENDS = {  # accuracy on training and on new photos, of two draws: of GAP, and of flatten
    "clearly less": ([(1, 0.8), (1, 0.7)], [(1, 0.5), (1, 0.6)]), "clearly more": ([(1, 0.3)], [(1, 0.9)]),
    "the same": ([(1, 0.8), (0.9, 0.7)], [(1, 0.8)]), "the same in print": ([(1, 0.801)], [(1, 0.799)]),
    "none": ([(0.8, 0.8)], [(0.9, 0.7)]), "better on new photos": ([(0.7, 0.8)], [(0.95, 0.9)]),
}


@pytest.mark.parametrize(("example", "ends"), [*zip(EXAMPLES, ENDS.values(), strict=True)], ids=ENDS)
def test_what_heads_lose_on_new_photos_is_said_of_the_one_that_loses_less(example, ends, open_page, monkeypatch):
    runs = [Run(kind, 5, SimpleNamespace(kept=Epoch(100, 0.1, learned, 0.5, unseen)))
            for kind, draws in zip(("gap", "flatten"), ends, strict=True) for learned, unseen in draws]
    monkeypatch.setattr(overfitting, "training_runs", lambda *_, **__: iter(runs))
    monkeypatch.setattr(overfitting, "sample", lambda: None)
    overfitting._training.clear()
    page, end = open_page(PAGE, example=example, lesson="5"), time.monotonic() + 30
    while "notice" not in boards(page):
        assert time.monotonic() < end
        time.sleep(0.1)
        page.run()
    overfitting._training.clear()
    gap, flatten = (sum(learned - unseen for learned, unseen in draws) / len(draws) for draws in ends)
    (low, less), (high, more) = sorted([(gap, "GAP"), (flatten, "flatten")])
    low, high = (f"{100 * share:z.0f}%".replace("-", "−") for share in (low, high))
    compared = "as much as" if low == high else "less than"
    assert boards(page)["notice"].text.removeprefix("Notice: ") == (
        f"From training photos to new ones {less[0].upper()}{less[1:]} drops by {low}, {compared} {more}, {high}.")
    assert low in boards(page)["overfit"].text


@pytest.mark.parametrize("example", EXAMPLES)
def test_box_and_mask_hold_so_much_of_the_positive_evidence_in_so_much_of_the_area(example, open_page, measured):
    seen = measured(example)
    cells = seen.cells(seen.best(1)[0])
    i, j = np.array(sorted(flood(cells, 0.2))).T
    inside = np.maximum(cells, 0)[i.min() : i.max() + 1, j.min() : j.max() + 1]
    smooth = enlarged(cells, 224)
    mask = tuple(np.array(sorted(flood(smooth, 0.2))).T)
    box = percent(inside.sum() / cells[cells > 0].sum()), percent(inside.size / cells.size)
    held = percent(smooth[mask].sum() / smooth[smooth > 0].sum()), percent(mask[0].size / smooth.size)
    assert notice(open_page, example=example, lesson="9") == (
        f"From 20% of the strongest on, the box holds {box[0]} of the positive evidence in {box[1]} of the area, the "
        f"mask {held[0]} in {held[1]}.")


@pytest.mark.parametrize(("example", "pair", "pooling"), [*zip(
    EXAMPLES, ("order", "negation", "other_words", "paraphrase", "telling", "unrelated"),
    ("gap", "gmp", "topk", "softpool", "attention", "gem"), strict=True)])
def test_the_token_that_adds_most_to_the_cosine_is_named(example, pair, pooling, open_page):
    vectors = load_file(ASSETS / "sentences.safetensors")
    listed = {item["key"]: item["tokens"] for item in json.loads((ASSETS / "sentences.json").read_text())["sentences"]}
    keys = PAIRS[pair].first, PAIRS[pair].second
    first, second = (vectors[key].double().numpy().T[:, None] for key in keys)
    parts = (weights(first, pooling) * (np.maximum(first, 0) if pooling == "gem" else first))[:, 0]
    one, other = pooled(first, pooling), pooled(second, pooling)
    lengths = np.linalg.norm(one) * np.linalg.norm(other)
    shares = other @ parts / lengths
    text = notice(open_page, example=example, lesson="10", settings=f"pair:{pair},pooling:{pooling}")
    number = text.rpartition(" ")[2].rstrip(".").replace("−", "-")
    assert re.fullmatch(rf"Under .+ the two have a cosine of {re.escape(signed(one @ other / lengths))}; of the first, "
                        rf"“{re.escape(listed[keys[0]][int(shares.argmax())])}” adds most, \S+\.", text)
    assert float(number) == pytest.approx(shares.max(), abs=0.0051)


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
