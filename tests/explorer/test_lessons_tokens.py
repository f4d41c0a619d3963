"""The poolings over tokens: against plain loops, by hand, by what must hold, and what the example sentences show."""

from __future__ import annotations

import hashlib
import json
import math
import re
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from explorer import POOLINGS
from explorer.errors import NetworkError, ParameterError
from explorer.lessons.sentences import PAIRS, bundled_sentences
from explorer.lessons.tokens import CLAMPING, Sentence, compare, pool
from tests.explorer import second_derivations as again

ASSETS = Path(__file__).resolve().parents[2] / "assets"
SETTINGS = {
    "gap": [()], "gmp": [()], "gem": [(1.0,), (3.0,), (100.0,)], "lse": [(0.05,), (3.0,)], "topk": [(0.3,)],
    "mixed": [(0.3,)], "softpool": [()], "attention": [(0.1,)],
}
CASES = [(key, setting) for key, several in SETTINGS.items() for setting in several]
every_setting = pytest.mark.parametrize(
    ("key", "setting"), CASES, ids=[f"{key}{setting[0] if setting else ''}" for key, setting in CASES])
every_exact = pytest.mark.parametrize(
    ("key", "setting"), [case for case in CASES if case[0] != "lse"],
    ids=[f"{key}{setting[0] if setting else ''}" for key, setting in CASES if key != "lse"])

every_pooling = pytest.mark.parametrize(
    ("key", "setting"), [(key, several[-1] if key == "lse" else several[len(several) // 2])
                         for key, several in SETTINGS.items()], ids=list(SETTINGS))

few = settings(max_examples=12)


def of(*rows, text="made up"):
    return Sentence(text, tuple(f"t{n}" for n in range(len(rows))), np.array(rows, dtype=float), "made up")


def drawn(seed, tokens, numbers=5):
    return of(*np.random.default_rng(seed).normal(size=(tokens, numbers)))


def named(key, setting):
    return {POOLINGS[key].parameter.name: setting[0]} if setting else {}


def signed(numbers=3):
    values = st.floats(-9, 9, width=32).map(lambda number: 0.0 if abs(number) < 1e-3 else number)
    return st.integers(1, 6).flatmap(lambda tokens: hypothesis_numpy.arrays(np.float64, (tokens, numbers),
                                                                            elements=values))


def compared(first, second, key, setting=()):
    """`compare`, for pooled vectors that have a direction."""
    pair = [of(*rows) for rows in (first, second)]
    assume(all(np.linalg.norm(pool(one, key, **named(key, setting)).vector) > 1e-3 for one in pair))
    return compare(*pair, key, **named(key, setting))


# Against plain loops.


def in_loops(first, second, key, setting):
    """Cosine, shares of both, pairs, from the definitions: tokens as the columns of maps of one row."""
    parts, vectors = [], []
    for rows in (first, second):
        maps = [[[row[d] for row in rows]] for d in range(len(rows[0]))]
        weights = again.pooling_weights(key, maps, *setting)
        vectors.append(again.pooled(key, maps, *setting))
        parts.append([[weights[d][0][t] * rows[t][d] for d in range(len(maps))] for t in range(len(rows))])
    lengths = 1.0
    for vector in vectors:
        lengths *= math.sqrt(sum(number * number for number in vector))

    def dot(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True)) / lengths

    return (
        dot(*vectors), [dot(part, vectors[1]) for part in parts[0]], [dot(part, vectors[0]) for part in parts[1]],
        [[dot(one, other) for other in parts[1]] for one in parts[0]],
    )


@every_setting
def test_cosine_shares_and_pairs_agree_with_plain_loops(key, setting):
    first, second = drawn(0, 4), drawn(1, 7)
    got = compare(first, second, key, **named(key, setting))
    cosine, ours, theirs, pairs = in_loops(first.vectors.tolist(), second.vectors.tolist(), key, setting)
    close = {"rtol": 0, "atol": 1e-4 if key == "lse" else 1e-9}  # the loops' trapezoid is only so good
    np.testing.assert_allclose(got.cosine, cosine, rtol=0, atol=1e-9)
    np.testing.assert_allclose(got.shares[0], ours, **close)
    np.testing.assert_allclose(got.shares[1], theirs, **close)
    np.testing.assert_allclose(got.pairs, pairs, **close)


@every_pooling
def test_a_token_looks_as_much_as_its_weight_is_of_its_channels_on_average(key, setting):
    sentence = drawn(2, 6)
    maps = [[list(column)] for column in sentence.vectors.T.tolist()]
    shares = []
    for (weights,) in again.pooling_weights(key, maps, *setting):
        if sum(weights) > 0:
            shares.append([weight / sum(weights) for weight in weights])
    expected = [sum(column) / len(shares) for column in zip(*shares, strict=True)]
    np.testing.assert_allclose(pool(sentence, key, **named(key, setting)).looks, expected, rtol=0, atol=1e-4)


# By hand: tokens (3, 0) and (1, 4) against (0, 4) and (0, -2).

FIRST, SECOND = of([3, 0], [1, 4]), of([0, 4], [0, -2])
ROOT2, ROOT5, ROOT13 = math.sqrt(2), math.sqrt(5), math.sqrt(13)


@pytest.mark.parametrize(("key", "parameters", "vectors", "parts", "cosine", "shares", "clamped"), [
    # Halves: (1.5, 0) + (0.5, 2) = (2, 2), (0, 2) + (0, -1) = (0, 1). The last token speaks against.
    ("gap", {}, ([2, 2], [0, 1]), ([[1.5, 0], [0.5, 2]], [[0, 2], [0, -1]]),
     1 / ROOT2, ([0, 1 / ROOT2], [ROOT2, -1 / ROOT2]), 0),
    # Maxima (3, 4), of length 5, and (0, 4).
    ("gmp", {}, ([3, 4], [0, 4]), ([[3, 0], [0, 4]], [[0, 4], [0, 0]]), 0.8, ([0, 0.8], [0.8, 0]), 0),
    # Square roots of (9 + 1) / 2 and 16 / 2; -2 counts as 0. A part is F * F / (2 y).
    ("gem", {"p": 2}, ([ROOT5, 2 * ROOT2], [0, 2 * ROOT2]),
     ([[9 / (2 * ROOT5), 0], [1 / (2 * ROOT5), 2 * ROOT2]], [[0, 2 * ROOT2], [0, 0]]),
     2 * ROOT2 / ROOT13, ([0, 2 * ROOT2 / ROOT13], [2 * ROOT2 / ROOT13, 0]), 1 / 8),
    # Half of either: (2.5, 3) and (0, 2.5).
    ("mixed", {"a": 0.5}, ([2.5, 3], [0, 2.5]), ([[2.25, 0], [0.25, 3]], [[0, 3], [0, -0.5]]),
     3 / math.sqrt(15.25), ([0, 3 / math.sqrt(15.25)], [3.6 / math.sqrt(15.25), -0.6 / math.sqrt(15.25)]), 0),
])
def test_two_sentences_of_two_tokens_by_hand(key, parameters, vectors, parts, cosine, shares, clamped):
    got = compare(FIRST, SECOND, key, **parameters)
    assert got.cosine == pytest.approx(cosine, abs=1e-9)
    assert got.clamped == clamped
    for pooled, vector, part in zip((got.first, got.second), vectors, parts, strict=True):
        np.testing.assert_allclose(pooled.vector, vector, atol=1e-9)
        np.testing.assert_allclose(pooled.parts, part, atol=1e-9)
    for mine, share in zip(got.shares, shares, strict=True):
        np.testing.assert_allclose(mine, share, atol=1e-9)


def test_the_pairs_under_gap_are_the_tokens_products():
    pairs = compare(FIRST, SECOND).pairs
    np.testing.assert_allclose(pairs, np.array([[0, 0], [16, -8]]) / (2 * 2 * 2 * ROOT2), atol=1e-9)


# What must hold.


@every_exact
@few
@given(first=signed(), second=signed())
def test_shares_and_pairs_add_up_to_the_cosine_under_every_exact_pooling(key, setting, first, second):
    got = compared(first, second, key, setting)
    assert got.exact
    for part in (*got.shares, got.pairs):
        assert part.sum() == pytest.approx(got.cosine, abs=1e-6)
    np.testing.assert_allclose(got.pairs.sum(1), got.shares[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(got.pairs.sum(0), got.shares[1], rtol=0, atol=1e-6)


@few
@given(first=signed(), second=signed(), r=st.sampled_from([0.05, 3.0, 100.0]))
def test_under_lse_the_residual_is_what_is_missed_most(first, second, r):
    got = compared(first, second, "lse", (r,))
    assert not got.exact
    missed = [got.cosine - part.sum() for part in (*got.shares, got.pairs)]
    assert abs(got.residual) == max(map(abs, missed))
    assert got.residual in missed


@every_pooling
@few
@given(first=signed(), second=signed(), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_tokens_does_not_matter(key, setting, first, second, seed):
    order = np.random.default_rng(seed).permutation(len(first))
    straight, shuffled = compared(first, second, key, setting), compared(first[order], second, key, setting)
    assert shuffled.cosine == pytest.approx(straight.cosine, abs=1e-9)
    np.testing.assert_allclose(shuffled.first.vector, straight.first.vector, rtol=0, atol=1e-9)
    np.testing.assert_allclose(shuffled.shares[0], straight.shares[0][order], rtol=0, atol=1e-6)
    np.testing.assert_allclose(shuffled.pairs, straight.pairs[order], rtol=0, atol=1e-6)


@every_pooling
@few
@given(vector=hypothesis_numpy.arrays(np.float64, (1, 4), elements=st.floats(-9, 9)))
def test_one_token_alone_is_its_own_vector(key, setting, vector):
    alone = pool(of(*vector), key, **named(key, setting))
    kept = np.maximum(vector[0], 0) if key == "gem" else vector[0]
    np.testing.assert_allclose(alone.vector, kept, rtol=0, atol=1e-9)
    np.testing.assert_allclose(alone.parts[0], kept, rtol=0, atol=1e-9)
    np.testing.assert_allclose(alone.looks, [1])


@every_pooling
def test_the_second_against_the_first_is_the_first_against_the_second(key, setting):
    one, other = drawn(3, 4), drawn(4, 6)
    there, back = (compare(*pair, key, **named(key, setting)) for pair in ((one, other), (other, one)))
    assert there.cosine == pytest.approx(back.cosine, abs=1e-9)
    np.testing.assert_allclose(there.pairs, back.pairs.T, atol=1e-9)
    np.testing.assert_allclose(there.shares[1], back.shares[0], atol=1e-9)


@every_pooling
def test_a_sentence_is_wholly_like_itself_and_its_looks_add_up_to_one(key, setting):
    same = compare(drawn(5, 6), drawn(5, 6), key, **named(key, setting))
    assert same.cosine == pytest.approx(1, abs=1e-9)
    assert same.first.looks.sum() == pytest.approx(1, abs=1e-9)


def test_only_gem_counts_numbers_below_zero_as_zero():
    below = torch.tensor([[[2.0, -1.0, 1.0]], [[-3.0, -1.0, -2.0]]]).double()
    blind = {
        key for key, pooling in POOLINGS.items()
        if torch.equal(pooling.value(below), pooling.value(torch.where(below < 0, 0.0, below)))
    }
    assert blind == CLAMPING == {"gem"}


@few
@given(first=signed(), second=signed())
def test_under_gem_nothing_speaks_against_and_the_note_says_so(first, second):
    got = compared(first, second, "gem")
    for part in (*got.shares, got.pairs):
        assert (part >= 0).all()
    below = (first < 0).sum() + (second < 0).sum()
    assert got.clamped == pytest.approx(below / (first.size + second.size))
    assert bool(got.note) == bool(below)
    if below:
        assert "Under GeM, p = 3" in got.note
        assert f"{got.clamped:.0%}" in got.note
    assert compared(first, second, "topk", (1.0,)).note == ""


def test_what_it_is_given_is_left_as_it_was_and_cannot_be_changed():
    rows = np.random.default_rng(6).normal(size=(4, 5))
    before = rows.copy()
    sentence = Sentence("made up", ("a", "b", "c", "d"), rows, "made up")
    for key in POOLINGS:
        compare(sentence, sentence, key)
    np.testing.assert_array_equal(rows, before)
    rows[0, 0] = 9  # still its owner's
    np.testing.assert_array_equal(sentence.vectors, before)
    with pytest.raises(ValueError, match="read-only"):
        sentence.vectors[0, 0] = 1


# Errors that teach.


def test_an_empty_sentence_and_vectors_that_do_not_fit_are_refused():
    with pytest.raises(ParameterError, match="empty; expected at least one token"):
        Sentence("", (), np.zeros((0, 3)), "made up")
    with pytest.raises(ParameterError, match="empty"):
        Sentence("a", ("a",), np.zeros((1, 0)), "made up")
    with pytest.raises(ParameterError, match=r"2 tokens and vectors of shape \(3, 4\); expected one row"):
        Sentence("a b", ("a", "b"), np.zeros((3, 4)), "made up")
    with pytest.raises(ParameterError, match="not finite"):
        of([1, math.nan])
    with pytest.raises(ParameterError, match="5 and 3 numbers; expected as many"):
        compare(drawn(7, 2), drawn(8, 2, 3))


def test_an_unknown_pooling_and_a_bad_parameter_are_refused():
    with pytest.raises(ParameterError, match=r"no pooling 'mean'.*gap, gmp"):
        compare(FIRST, SECOND, "mean")
    with pytest.raises(ParameterError, match="GeM's p is 0; expected a number from 1"):
        pool(FIRST, "gem", p=0)
    with pytest.raises(ParameterError, match="GAP has no parameter"):
        pool(FIRST, "gap", p=3)


@every_pooling
def test_a_pooled_vector_that_is_zero_has_no_direction(key, setting):
    with pytest.raises(ParameterError, match="pooled vector of 'nothing' is zero"):
        compare(FIRST, of([0, 0], [0, 0], text="nothing"), key, **named(key, setting))


def test_vectors_that_cancel_or_are_all_below_zero_where_that_counts_as_zero_are_refused_too():
    # In binary, 0.1 + 0.2 - 0.3 is not zero.
    cancelling = of([0.1, 1], [0.2, 1], [-0.3, -2], text="cancelling")
    assert np.linalg.norm(cancelling.vectors.sum(0)) > 0
    with pytest.raises(ParameterError, match="Under GAP the pooled vector of 'cancelling' is zero"):
        compare(FIRST, cancelling)
    assert compare(FIRST, cancelling, "gmp").cosine > 0
    below = of([-1, -2], [-3, -1], text="below")
    with pytest.raises(ParameterError, match="Under GeM, p = 3 the pooled vector of 'below' is zero"):
        compare(FIRST, below, "gem")
    assert compare(FIRST, below, "gap").cosine < 0


# The example sentences, as shipped.


def test_the_shipped_vectors_have_their_hash_and_one_finite_row_for_each_token():
    card = json.loads((ASSETS / "sentences.json").read_text(encoding="utf-8"))
    content = (ASSETS / "sentences.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() == card["sha256"]
    sentences = bundled_sentences()
    assert [row["key"] for row in card["sentences"]] == list(sentences)
    for row in card["sentences"]:
        sentence = sentences[row["key"]]
        assert sentence.vectors.shape == (len(row["tokens"]), 384)
        np.testing.assert_array_equal(sentence.vectors, sentence.vectors.astype(np.float16))
        assert 0.4 < (sentence.vectors < 0).mean() < 0.6
        assert card["model"] in sentence.origin
        assert "bundled" in sentence.origin
        assert "float16" in sentence.origin


def test_each_sentences_tokens_spell_its_text_between_the_models_marks():
    for sentence in bundled_sentences().values():
        first, *pieces, last = sentence.tokens
        assert (first, last) == ("[CLS]", "[SEP]")
        assert "".join(piece.removeprefix("##") for piece in pieces) == re.sub(r"\s", "", sentence.text).lower()


def test_the_shipped_sentences_are_those_that_the_command_writes():
    written = runpy.run_path(str(ASSETS / "make" / "vectors_of_sentences.py"))["SENTENCES"]
    assert {key: sentence.text for key, sentence in bundled_sentences().items()} == written


def test_missing_and_damaged_files_are_told(tmp_path):
    with pytest.raises(NetworkError, match="example sentences cannot be read: No such file"):
        bundled_sentences(tmp_path / "nowhere")

    def copy(name):
        folder = tmp_path / name
        folder.mkdir()
        for file in ("sentences.json", "sentences.safetensors"):
            shutil.copy(ASSETS / file, folder)
        return folder

    flipped = copy("flipped")
    content = bytearray((flipped / "sentences.safetensors").read_bytes())
    content[-1] ^= 1
    (flipped / "sentences.safetensors").write_bytes(content)
    with pytest.raises(NetworkError, match=r"sha256 .* damaged or was exchanged"):
        bundled_sentences(flipped)
    for n, card in enumerate(("{", "[]", json.dumps({"sha256": 1}))):
        broken = copy(f"broken{n}")
        (broken / "sentences.json").write_text(card, encoding="utf-8")
        with pytest.raises(NetworkError):
            bundled_sentences(broken)
    other = copy("other")
    card = json.loads((other / "sentences.json").read_text(encoding="utf-8"))
    card["sentences"][0]["tokens"].pop()
    (other / "sentences.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(NetworkError, match="are damaged"):
        bundled_sentences(other)


def test_on_the_shipped_sentences_every_pooling_adds_up_and_lses_residual_is_small():
    sentences = list(bundled_sentences().values())
    for key, setting in CASES:
        for second in sentences[1:]:
            got = compare(sentences[0], second, key, **named(key, setting))
            for part in (*got.shares, got.pairs):
                assert part.sum() == pytest.approx(got.cosine, abs=1e-5 if key == "lse" else 1e-9)
            assert got.origin == second.origin


# What the pairs say of themselves.


def cosine(pair, key="gap"):
    sentences = bundled_sentences()
    return compare(sentences[PAIRS[pair].first], sentences[PAIRS[pair].second], key).cosine


def shares(pair, which=0, key="gap"):
    """[(token, share)], the largest first."""
    sentences = bundled_sentences()
    got = compare(sentences[PAIRS[pair].first], sentences[PAIRS[pair].second], key)
    tokens = (got.first, got.second)[which].sentence.tokens
    return sorted(zip(tokens, got.shares[which], strict=True), key=lambda item: -item[1])


def test_every_pair_is_of_sentences_that_exist_and_every_sentence_is_in_a_pair():
    assert {key for pair in PAIRS.values() for key in (pair.first, pair.second)} == set(bundled_sentences())
    assert all(pair.look.endswith(".") for pair in PAIRS.values())


def test_other_order_is_all_but_the_same_under_every_pooling_and_the_vectors_make_the_difference():
    sentences = bundled_sentences()
    assert sorted(sentences["dog_cat"].tokens) == sorted(sentences["cat_dog"].tokens)
    for key in POOLINGS:
        assert 0.98 < cosine("order", key) < 1 - 1e-3
    named = dict(zip(sentences["dog_cat"].tokens, sentences["dog_cat"].vectors, strict=True))
    again_ = dict(zip(sentences["cat_dog"].tokens, sentences["cat_dog"].vectors, strict=True))
    assert np.abs(named["dog"] - again_["dog"]).max() > 0.1


def test_not_adds_least_of_the_eight_tokens_of_its_sentence():
    assert len(shares("negation", 1)) == 8
    assert shares("negation", 1)[-1][0] == "not"


def test_bad_and_not_good_are_more_alike_than_good_and_not_good():
    assert cosine("other_words") > cosine("negation")


def test_the_paraphrase_has_no_word_in_common_and_its_pairs_are_those_that_mean_the_same():
    sentences = bundled_sentences()
    one, other = (sentences[key] for key in ("kids", "children"))
    assert set(one.tokens) & set(other.tokens) == {"[CLS]", "[SEP]", "."}
    pairs = compare(one, other).pairs
    best = np.argsort(pairs, axis=None)[::-1][:2]
    named = {(one.tokens[n // len(other.tokens)], other.tokens[n % len(other.tokens)]) for n in best}
    assert named == {("kids", "children"), ("sweets", "candy")}


def test_the_telling_word_adds_most_under_gap_wins_most_under_gmp_and_hardly_counts_under_attention():
    assert shares("telling")[0][0] == "volcano"
    walk = bundled_sentences()["walk"]
    place = walk.tokens.index("volcano")
    assert pool(walk, "gap").looks[place] == pytest.approx(1 / len(walk.tokens))
    assert pool(walk, "gmp").looks.argmax() == place
    assert pool(walk, "attention").looks[place] < 0.2 / len(walk.tokens)


def test_each_topic_of_a_sentence_answers_to_its_own_half():
    music, motors = shares("two_topics_music"), shares("two_topics_motors")
    assert [token for token, _ in music[:2]] == ["violin", "plays"]
    assert [token for token, _ in motors[:2]] == ["cars", "repairs"]
    assert -0.02 < sum(share for token, share in music if token in ("repairs", "old", "cars")) < 0


def test_with_nothing_in_common_gap_is_near_zero_and_the_poolings_that_lean_to_maxima_are_not():
    assert abs(cosine("unrelated")) < 0.03
    sentences = bundled_sentences()
    for key in ("gmp", "gem"):
        assert cosine("unrelated", key) > 0.5
        for name in ("kids", "volcano"):
            assert (pool(sentences[name], key).vector >= 0).mean() > 0.75
            assert (pool(sentences[name], "gap").vector >= 0).mean() < 0.6
    for key in ("lse", "softpool"):
        for which in (0, 1):
            token, share = shares("unrelated", which, key)[0]
            assert token == "[CLS]"
            assert share > cosine("unrelated", key) / 2
    large = {(int(s.vectors.argmax()), bool(s.vectors.max() > 4)) for s in sentences.values()}
    assert len(large) == 1  # the same number of the first token, in every sentence
    assert large.pop()[1]
