"""Lesson 10: the tokens of two sentences, pooled as positions are, and each token's share of how alike the two are."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import streamlit as st

from explorer.errors import MethodError
from explorer.lessons.minilm import DISTRIBUTION, MODEL, sentence_model
from explorer.lessons.sentences import PAIRS, bundled_sentences
from explorer.lessons.tokens import Sentence, Similarity, compare
from explorer.pooling import POOLINGS
from explorer.render import Scale
from explorer.ui.board import Node, board, el
from explorer.ui.lessons.controls import Control, ask
from explorer.ui.lessons.drawn import account
from explorer.ui.lessons.page import Scene
from explorer.ui.state import Session
from explorer.wording import exactness, signed

OWN = "own"
LONGEST = 200  # characters of a sentence of one's own
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
             el("div", *_pairs(found)), class_="sidebyside ruled"), key="sentences")
    if not _is_installed():
        board(el("p", f"For sentences of your own install the optional package {DISTRIBUTION}: the readme says how.",
                 class_="caption"), key="own_missing")


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
        texts[n] = column.text_input(label, texts[n], max_chars=LONGEST, key=f"own_sentence_{n}",
                                     on_change=current.touch)
    with st.spinner(f"Loading {MODEL}"):
        model = sentence_model()
    if model is None:
        raise MethodError(f"The package {DISTRIBUTION} is there, but not all that it needs; expected it to be "
                          "installed with pip, which brings the rest along.")
    return _Two(*map(model.sentence, texts))


def _sentences(found: Similarity) -> Node:
    """Two rows of tokens on one scale."""
    scale = Scale.signed(*found.shares)
    rows = [_tokens(pooled.sentence, shares, scale)
            for pooled, shares in zip((found.first, found.second), found.shares, strict=True)]
    return el("div", *rows, class_="lesson-sentences")


def _tokens(sentence: Sentence, shares: np.ndarray, scale: Scale) -> Node:
    return el("div", *(
        el("span", el("strong", token), el("span", _number(share)), class_="lesson-token", style=_painted(share, scale))
        for token, share in zip(sentence.tokens, shares, strict=True)), class_="lesson-tokens", role="group",
        aria_label=f"{sentence.text} Each token with its share.")


def _numbers(found: Similarity) -> Node:
    parts = ["", ""]
    for n, (pooled, shares) in enumerate(zip((found.first, found.second), found.shares, strict=True)):
        best = int(shares.argmax())
        parts[n] = f"{signed(float(shares.sum()))}; “{pooled.sentence.tokens[best]}” adds most, {_number(shares[best])}"
    return account([("cosine", f"{signed(found.cosine)} under {found.label} "
                               f"({exactness(found.exact, found.residual)})"),
                    ("shares above", parts[0]), ("shares below", parts[1])])


def _words(two: _Two, found: Similarity, pooling: str) -> list[Node | None]:
    said = f"{POOLINGS[pooling].name}: {_of_tokens(POOLINGS[pooling].explanation)}"
    return [el("p", two.look, class_="lead") if two.look else None, el("p", said),
            el("p", found.note, class_="note") if found.note else None,
            el("p", "Shares are with the pooling weights held: they say what the cosine is made of, not what it would "
                    f"be without a token. Token vectors: {found.origin}.", class_="note")]


def _of_tokens(explanation: str) -> str:
    """What the registry says of positions on a photo, for tokens of a sentence."""
    for photo, sentence in (("Position", "Token"), ("position", "token"), ("photo", "sentence")):
        explanation = explanation.replace(photo, sentence)
    return explanation


def _pairs(found: Similarity) -> list[Node]:
    """What each pair of tokens adds: rows are the first sentence's, columns the second's."""
    scale = Scale.signed(found.pairs)
    tokens = found.first.sentence.tokens, found.second.sentence.tokens
    head = [el("span"), *(el("span", el("span", token), class_="column") for token in tokens[1])]
    rows = [node for token, numbers in zip(tokens[0], found.pairs, strict=True)
            for node in (el("span", token, class_="row"), *(_cell(number, scale) for number in numbers))]
    total, (i, j) = float(found.pairs.sum()), np.unravel_index(int(found.pairs.argmax()), found.pairs.shape)
    best = f"“{tokens[0][i]}” with “{tokens[1][j]}” adds most, {_number(found.pairs[i, j])}"
    return [el("h3", f"Pairs of tokens: {len(tokens[0])} × {len(tokens[1])}"),
            el("div", *head, *rows, class_="lesson-pairs", role="img", style={"--columns": str(len(tokens[1]))},
               aria_label=f"What each pair of tokens adds to the cosine; {best}"),
            el("p", f"Together {signed(total)}. {best}.", class_="note")]


def _cell(number: float, scale: Scale) -> Node:
    return el("span", title=_number(number), class_="cell", style=_painted(number, scale))


def _painted(value: float, scale: Scale) -> dict[str, str]:
    """A colour of the scale, and ink that is legible on it."""
    red, green, blue = map(int, scale.colours(np.array(value)))
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 140
    return {"background": f"rgb({red}, {green}, {blue})", "color": "#fff" if dark else "#111"}


def _number(share: float) -> str:
    """A share of a cosine: three decimals where two would say nothing."""
    return signed(float(share)) if abs(share) >= 0.095 else f"{share:+z.3f}".replace("-", "−")
