"""Lesson 10: the tokens of two sentences, pooled as positions are, and each token's share of how alike the two are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import streamlit as st

from explorer.errors import MethodError
from explorer.lessons.minilm import DISTRIBUTION, MODEL, sentence_model
from explorer.lessons.sentences import PAIRS, bundled_sentences
from explorer.lessons.tokens import Pooled, Sentence, Similarity, compare
from explorer.poolings import POOLINGS
from explorer.render import Scale
from explorer.ui.components.board import Node, board, el
from explorer.ui.pages.lessons.lesson_controls import Control, ask
from explorer.ui.pages.lessons.lesson_page import Scene
from explorer.ui.pages.lessons.lesson_pictures import account, painted
from explorer.ui.session.session import Session
from explorer.wording import exactness, percent, signed

OWN = "own"
LONGEST = 200  # characters of a sentence of one's own
MOST_LARGE = 14  # tokens down the pairs; of more each is drawn smaller
_OWN_TEXTS = "own_sentences"  # in the session, as widgets forget theirs with the page


@dataclass(frozen=True, eq=False)
class _Two:
    """Two sentences, and what to look at in them."""

    first: Sentence
    second: Sentence
    look: str = ""


def controls(scene: Scene) -> tuple[Control, ...]:
    """Which two sentences, and under which pooling."""
    titles = {key: pair.title for key, pair in PAIRS.items()} | ({OWN: "Your own"} if _is_installed() else {})
    return (Control("pair", "Two sentences", tuple(titles), next(iter(PAIRS)), titles.__getitem__, ordered=False),
            Control("pooling", "Pooling", tuple(POOLINGS), "gap", lambda key: POOLINGS[key].name, ordered=False))


def teach(scene: Scene) -> None:
    """Both sentences, every token in the colour of its share; and every pair of tokens."""
    put = ask(scene.current, controls(scene))
    two = _own(scene.current) if put["pair"] == OWN else _bundled(put["pair"])
    found = compare(two.first, two.second, put["pooling"])
    board(el("div", el("div", _sentences(found), _numbers(found), *_words(two, found, put["pooling"])),
             el("div", *_pairs(found), *_account_of_shares(found)), class_="sidebyside ruled"), key="sentences")


@cache
def _is_installed() -> bool:
    """Whether the package is there, at the price of a glance; loading its model takes seconds."""
    try:
        return distribution(DISTRIBUTION) is not None
    except PackageNotFoundError:
        return False


def _bundled(key: str) -> _Two:
    pair, sentences = PAIRS[key], bundled_sentences()
    return _Two(sentences[pair.first], sentences[pair.second], pair.look)


def _own(current: Session) -> _Two:
    """Two sentences that are typed; they stay in the session and are in no link."""
    usual = _bundled(next(iter(PAIRS)))
    texts = st.session_state.setdefault(_OWN_TEXTS, [usual.first.text, usual.second.text])
    for n, (column, label) in enumerate(zip(st.columns(2, gap="medium"), ("One sentence", "Another"), strict=True)):
        texts[n] = column.text_input(label, texts[n], max_chars=LONGEST, key=f"own_sentence_{n}")
    with st.spinner(f"Loading {MODEL}"):
        model = sentence_model()
    if model is None:
        raise MethodError(f"The package {DISTRIBUTION} is there, but not all that it needs; expected it to be "
                          "installed with pip, which brings the rest along.")
    return _Two(*map(model.sentence, texts))


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


def _words(two: _Two, found: Similarity, pooling: str) -> list[Node | None]:
    said = f"{POOLINGS[pooling].name}: {_of_tokens(POOLINGS[pooling].explanation)}"
    return [el("p", two.look, class_="lead") if two.look else None, el("p", said),
            el("p", found.note, class_="note") if found.note else None]


def _account_of_shares(found: Similarity) -> list[Node | None]:
    own = f"For sentences of your own install the optional package {DISTRIBUTION}: the readme says how."
    return [el("p", "In each token's square: what it adds to the cosine, and its share of the pooling weights. What it "
                    "adds is with the weights held: what the cosine is made of, not what it would be without the "
                    "token.", class_="note"),
            el("p", f"Token vectors: {found.origin}.{'' if _is_installed() else ' ' + own}", class_="caption")]


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
