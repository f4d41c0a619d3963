"""Lesson 10: the tokens of two sentences, pooled as positions are, and each token's share of how alike the two are."""

from __future__ import annotations

from typing import Any

import numpy as np

from explorer.lessons.sentences import PAIRS, bundled_sentences
from explorer.lessons.tokens import Pooled, Similarity, compare
from explorer.poolings import POOLINGS
from explorer.render import Scale
from explorer.sections.nodes import Node, el
from explorer.ui.components.board import board
from explorer.ui.pages.lessons.lesson_pictures import account, painted
from explorer.ui.pages.lessons.scene import Control, Scene
from explorer.wording import exactness, percent, signed

MOST_LARGE = 14  # tokens down the pairs; of more each is drawn smaller


def controls(scene: Scene) -> tuple[Control, ...]:
    """Which two sentences, and under which pooling."""
    return (Control("pair", "Two sentences", tuple(PAIRS), next(iter(PAIRS)), lambda key: PAIRS[key].title,
                    ordered=False),
            Control("pooling", "Pooling", tuple(POOLINGS), "gap", lambda key: POOLINGS[key].name, ordered=False))


def draw(scene: Scene, chosen: dict[str, Any]) -> str:
    """Both sentences, every token in the colour of its share; and every pair of tokens."""
    pair, sentences, pooling = PAIRS[chosen["pair"]], bundled_sentences(), POOLINGS[chosen["pooling"]]
    result = compare(sentences[pair.first], sentences[pair.second], pooling.key)
    both = list(zip((result.first, result.second), result.shares, strict=True))
    scale = Scale.signed(*result.shares)
    tokens = el("div", *(_tokens(pooled, shares, scale) for pooled, shares in both), class_="lesson-sentences")
    lines = [("cosine", f"{signed(result.cosine)} under {result.label} ({exactness(result.exact, result.residual)})"),
             *(_line(name, pooled, shares) for name, (pooled, shares) in zip(("first", "second"), both, strict=True))]
    one, shares = both[0]
    notice = (f"Under {result.label} the two have a cosine of {signed(result.cosine)}; of the first, "
              f"“{one.sentence.tokens[int(shares.argmax())]}” adds most, {_number(float(shares.max()))}.")
    if scene.presenting:
        few = sum(len(pooled.sentence.tokens) for pooled, _ in both) <= MOST_LARGE + 6
        board(el("div", tokens, *(_pairs(result)[:2] if few else ()), class_="stack"), key="sentences")
        return notice
    left = el("div", tokens, account(lines), el("p", pair.look, class_="lead"),
              el("p", f"{pooling.name}: {_of_tokens(pooling.explanation)}"),
              el("p", result.note, class_="note") if result.note else None)
    right = el("div", *_pairs(result), el(
        "p", "In each token's square: what it adds to the cosine, and its share of the pooling weights. With the "
             "weights held this is what the cosine is made of, not what it would be without the token.",
        class_="note"), el("p", f"Token vectors: {result.origin}.", class_="caption"))
    board(el("div", left, right, class_="sidebyside ruled"), key="sentences")
    return notice


def _tokens(pooled: Pooled, shares: np.ndarray, scale: Scale) -> Node:
    tokens = zip(pooled.sentence.tokens, shares, pooled.looks, strict=True)
    return el("div", *(
        el("span", el("strong", token), el("span", _number(share)), el("span", percent(float(weight))),
           class_="lesson-token", style=painted(scale.colours(np.array(share)))) for token, share, weight in tokens),
        class_="lesson-tokens", role="group", aria_label=f"{pooled.sentence.text} Each token with its share of the "
                                                         "cosine, and of the pooling weights.")


def _line(name: str, pooled: Pooled, shares: np.ndarray) -> tuple[str, str]:
    largest = int(shares.argmax())
    return (f"{name} sentence", f"shares add up to {signed(float(shares.sum()))}; “{pooled.sentence.tokens[largest]}” "
                                f"adds most, {_number(shares[largest])}")


def _of_tokens(explanation: str) -> str:
    """What the registry says of positions on a photo, for tokens of a sentence."""
    for photo, sentence in (("Position", "Token"), ("position", "token"), ("photo", "sentence")):
        explanation = explanation.replace(photo, sentence)
    return explanation


def _pairs(result: Similarity) -> list[Node]:
    """What each pair of tokens adds; the longer sentence goes across."""
    down, across, numbers = result.first.sentence.tokens, result.second.sentence.tokens, result.pairs
    names = "first", "second"
    if len(down) > len(across):
        down, across, numbers, names = across, down, numbers.T, names[::-1]
    scale = Scale.signed(numbers)
    head = [el("span"), *(el("span", el("span", token), class_="column") for token in across)]
    rows = [node for token, row in zip(down, numbers, strict=True)
            for node in (el("span", token, class_="row"), *(_cell(number, scale) for number in row))]
    i, j = np.unravel_index(int(numbers.argmax()), numbers.shape)
    best = f"“{down[i]}” with “{across[j]}” adds most, {_number(numbers[i, j])}"
    return [el("h3", f"Pairs of tokens, {names[0]} sentence down, {names[1]} across"),
            el("div", *head, *rows, class_="lesson-pairs" if len(down) <= MOST_LARGE else "lesson-pairs small",
               role="img", tabindex="0", style={"--columns": str(len(across))},
               aria_label=f"What each pair of tokens adds to the cosine; {best}"),
            el("p", f"Together {signed(float(numbers.sum()))}. {best}.", class_="note")]


def _cell(number: float, scale: Scale) -> Node:
    return el("span", title=_number(number), class_="cell", style=painted(scale.colours(np.array(number))))


def _number(share: float) -> str:
    """A share of a cosine: three decimals where two would say little, and "0" where three say nothing."""
    fine = f"{share:+.3f}".replace("-", "−")
    return signed(float(share)) if abs(share) >= 0.095 else "0" if fine[1:] == "0.000" else fine
