"""Lesson 10: the tokens of two sentences, pooled as positions are, and each token's share of how alike the two are."""

from __future__ import annotations

import numpy as np

from explorer.lessons.sentences import PAIRS, bundled_sentences
from explorer.lessons.tokens import Pooled, Similarity, compare
from explorer.poolings import POOLINGS
from explorer.render import Scale
from explorer.sections.nodes import Node, el
from explorer.ui.components.board import board
from explorer.ui.pages.lessons.lesson_controls import Control, ask
from explorer.ui.pages.lessons.lesson_page import Scene
from explorer.ui.pages.lessons.lesson_pictures import account, painted
from explorer.wording import exactness, percent, signed

MOST_LARGE = 14  # tokens down the pairs; of more each is drawn smaller


def controls(scene: Scene) -> tuple[Control, ...]:
    """Which two sentences, and under which pooling."""
    return (Control("pair", "Two sentences", tuple(PAIRS), next(iter(PAIRS)), lambda key: PAIRS[key].title,
                    ordered=False),
            Control("pooling", "Pooling", tuple(POOLINGS), "gap", lambda key: POOLINGS[key].name, ordered=False))


def teach(scene: Scene) -> None:
    """Both sentences, every token in the colour of its share; and every pair of tokens."""
    put = ask(scene.current, controls(scene))
    pair, sentences = PAIRS[put["pair"]], bundled_sentences()
    found = compare(sentences[pair.first], sentences[pair.second], put["pooling"])
    board(el("div", el("div", _sentences(found), _numbers(found), *_words(pair.look, found, put["pooling"])),
             el("div", *_pairs(found), *_account_of_shares(found)), class_="sidebyside ruled"), key="sentences")


def _sentences(found: Similarity) -> Node:
    """Two rows of tokens on one scale."""
    scale = Scale.signed(*found.shares)
    rows = [_tokens(pooled, shares, scale)
            for pooled, shares in zip((found.first, found.second), found.shares, strict=True)]
    return el("div", *rows, class_="lesson-sentences")


def _tokens(pooled: Pooled, shares: np.ndarray, scale: Scale) -> Node:
    each = zip(pooled.sentence.tokens, shares, pooled.looks, strict=True)
    return el("div", *(
        el("span", el("strong", token), el("span", _number(share)), el("span", percent(float(weight))),
           class_="lesson-token", style=painted(scale.colours(np.array(share)))) for token, share, weight in each),
        class_="lesson-tokens", role="group", aria_label=f"{pooled.sentence.text} Each token with its share of the "
                                                         "cosine, and of the pooling weights.")


def _numbers(found: Similarity) -> Node:
    lines = [("cosine", f"{signed(found.cosine)} under {found.label} ({exactness(found.exact, found.residual)})")]
    for name, pooled, shares in zip(("first sentence", "second sentence"), (found.first, found.second), found.shares,
                                    strict=True):
        best = int(shares.argmax())
        lines.append((name, f"shares add up to {signed(float(shares.sum()))}; “{pooled.sentence.tokens[best]}” adds "
                            f"most, {_number(shares[best])}"))
    return account(lines)


def _words(look: str, found: Similarity, pooling: str) -> list[Node | None]:
    explanation = f"{POOLINGS[pooling].name}: {_of_tokens(POOLINGS[pooling].explanation)}"
    return [el("p", look, class_="lead"), el("p", explanation),
            el("p", found.note, class_="note") if found.note else None]


def _account_of_shares(found: Similarity) -> list[Node]:
    return [el("p", "In each token's square: what it adds to the cosine, and its share of the pooling weights. What it "
                    "adds is with the weights held: what the cosine is made of, not what it would be without the "
                    "token.", class_="note"),
            el("p", f"Token vectors: {found.origin}.", class_="caption")]


def _of_tokens(explanation: str) -> str:
    """What the registry says of positions on a photo, for tokens of a sentence."""
    for photo, sentence in (("Position", "Token"), ("position", "token"), ("photo", "sentence")):
        explanation = explanation.replace(photo, sentence)
    return explanation


def _pairs(found: Similarity) -> list[Node]:
    """What each pair of tokens adds; the longer sentence goes across."""
    scale = Scale.signed(found.pairs)
    order = sorted((0, 1), key=lambda n: len(found.pairs.T) if n else len(found.pairs))
    down, across = ((found.first, found.second)[n].sentence.tokens for n in order)
    numbers = found.pairs if order == [0, 1] else found.pairs.T
    head = [el("span"), *(el("span", el("span", token), class_="column") for token in across)]
    rows = [node for token, row in zip(down, numbers, strict=True)
            for node in (el("span", token, class_="row"), *(_cell(number, scale) for number in row))]
    i, j = np.unravel_index(int(numbers.argmax()), numbers.shape)
    best = f"“{down[i]}” with “{across[j]}” adds most, {_number(numbers[i, j])}"
    names = [("first", "second")[n] for n in order]
    return [el("h3", f"Pairs of tokens, {names[0]} sentence down, {names[1]} across"),
            el("div", *head, *rows, class_="lesson-pairs" if len(down) <= MOST_LARGE else "lesson-pairs small",
               role="img", style={"--columns": str(len(across))},
               aria_label=f"What each pair of tokens adds to the cosine; {best}"),
            el("p", f"Together {signed(float(numbers.sum()))}. {best}.", class_="note")]


def _cell(number: float, scale: Scale) -> Node:
    return el("span", title=_number(number), class_="cell", style=painted(scale.colours(np.array(number))))


def _number(share: float) -> str:
    """A share of a cosine: three decimals where two would say little, and "0" where three say nothing."""
    fine = f"{share:+.3f}".replace("-", "−")
    return signed(float(share)) if abs(share) >= 0.095 else "0" if fine[1:] == "0.000" else fine
