"""A pooling that somebody chose: one text for one choice, and the same choice from the text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from explorer.errors import ParameterError
from explorer.poolings import POOLINGS, PoolingChoice


@pytest.mark.parametrize(("text", "one_form"), [
    ("gmp", "gmp"), ("gem:p=4.0", "gem:p=4"), ("gem:p=3", "gem:p=3"), ("lse:r=.5", "lse:r=0.5"), ("gated", "gated")])
def test_a_text_is_read_and_written_in_its_one_form(text, one_form):
    choice = PoolingChoice.parse(text)
    assert str(choice) == one_form
    assert PoolingChoice.parse(str(choice)) == choice


@pytest.mark.parametrize("text", ["", "median", "gem:p=x", "gem:p=0.5", "gap:p=3"])
def test_what_is_no_pooling_is_refused(text):
    with pytest.raises(ParameterError):
        PoolingChoice.parse(text)


def test_the_usual_parameter_is_left_out_whichever_network_it_is_usual_for():
    assert PoolingChoice.of("gem", {"p": 3.0}) == PoolingChoice("gem")
    assert str(PoolingChoice.of("gem", {"p": 4})) == "gem:p=4"
    gem = POOLINGS["gem"]
    trained = {"gem": replace(gem, parameter=replace(gem.parameter, default=4.0))}
    assert PoolingChoice.of("gem", {"p": 4.0}, trained) == PoolingChoice("gem")
    assert str(PoolingChoice.parse("gem:p=3").among(trained)) == "gem:p=3"
    assert PoolingChoice.parse("gem:p=3").among(POOLINGS) == PoolingChoice("gem")


def test_equal_choices_are_one_key():
    assert {PoolingChoice.parse("gem:p=4"): 1}[PoolingChoice.of("gem", {"p": 4.0})] == 1
