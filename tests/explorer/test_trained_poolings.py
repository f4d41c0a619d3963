"""Poolings with something learned in them, by second derivations; and the files of heads trained with them."""

from __future__ import annotations

import hashlib
import json
import math
import shutil

import pytest
import torch
from heads_by_hand import gap_of, gated_of, gmp_of, learned_attention_of, multi_query_of
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny import random_maps

from explorer.errors import NetworkError, ParameterError
from explorer.heads.head_files import HEADS
from explorer.networks.trained_heads import read_trained
from explorer.poolings import POOLINGS
from explorer.poolings.learned import KEYS, gated, learned_attention, multi_query, pooling_with, slices_of

QUERY = torch.tensor([0.7, -1.2, 0.3, 2.0, -0.4])
GATE = torch.tensor([1.5, -2.0, 0.1, 0.9, -0.6])
QUERIES = torch.tensor([[0.7, -1.2, 0.3, 2.0, -0.4], [-2.0, 0.1, 0.9, -0.3, 1.1], [0.2, 1.7, -0.8, 0.5, 0.0]])
LEARNED = {"learned_attention": learned_attention(QUERY), "multi_query_attention": multi_query(QUERIES),
           "gated": gated(GATE, torch.tensor(0.25))}


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(1, 4))
def test_the_values_are_the_definitions(seed, rows, columns):
    maps = random_maps(5, rows, columns, seed)
    expected = {"learned_attention": learned_attention_of(maps, QUERY),
                "multi_query_attention": multi_query_of(maps, QUERIES.tolist()), "gated": gated_of(maps, GATE, 0.25)}
    for key, pooling in LEARNED.items():
        assert pooling.value(maps).tolist() == pytest.approx(expected[key], abs=1e-5)


@pytest.mark.parametrize(("queries", "channels", "sizes"), [
    (3, 8, [3, 3, 2]), (8, 1280, [160] * 8), (1, 5, [5]), (5, 5, [1] * 5), (8, 12, [2, 2, 2, 2, 1, 1, 1, 1]),
])
def test_each_query_has_channels_of_its_own_and_none_is_left(queries, channels, sizes):
    parts = slices_of(queries, channels)
    assert [part.stop - part.start for part in parts] == sizes
    assert [k for part in parts for k in range(channels)[part]] == list(range(channels))


@pytest.mark.parametrize("queries", [torch.zeros(5), torch.zeros(6, 5), torch.zeros(0, 5), torch.zeros(1, 2, 5)])
def test_queries_that_are_no_matrix_or_too_many_are_refused(queries):
    with pytest.raises(ParameterError, match="with M from 1 to C"):
        multi_query(queries)


@given(st.integers(0, 1000))
def test_weights_times_feature_maps_are_the_value_for_any_batch(seed):
    maps = torch.randn(2, 3, 5, 3, 4, generator=torch.Generator().manual_seed(seed))
    for pooling in LEARNED.values():
        kept = (pooling.weights(maps) * maps).sum((-2, -1))
        assert torch.allclose(kept, pooling.value(maps), atol=1e-5)
        assert torch.allclose(pooling.value(maps)[1, 2], pooling.value(maps[1, 2]), atol=1e-6)
        assert torch.allclose(pooling.weights(maps).sum((-2, -1)), torch.ones(2, 3, 5), atol=1e-5)


def test_shuffled_positions_change_nothing():
    maps = random_maps(5, 4, 4)
    shuffled = maps.flatten(1)[:, torch.randperm(16, generator=torch.Generator().manual_seed(1))].view(5, 4, 4)
    for pooling in LEARNED.values():
        assert torch.allclose(pooling.value(maps), pooling.value(shuffled), atol=1e-6)


def test_the_same_position_counts_for_all_channels_under_attention_alone():
    maps = random_maps()
    attention, several, mix = (pooling.weights(maps) for pooling in LEARNED.values())
    assert torch.equal(several[0], several[1])
    assert torch.equal(several[2], several[3])
    assert not torch.equal(several[1], several[2])
    assert not torch.equal(several[3], several[4])
    assert torch.equal(attention, attention[:1].expand_as(attention))
    assert not torch.equal(mix, mix[:1].expand_as(mix))


def test_attention_without_a_query_is_gap_and_with_a_strong_one_a_single_position():
    maps = torch.tensor([[[1.0, 5.0]], [[3.0, 2.0]]])
    assert learned_attention(torch.zeros(2)).value(maps).tolist() == gap_of(maps)
    assert learned_attention(torch.tensor([0.0, 100.0])).value(maps).tolist() == [1.0, 3.0]


def test_a_gate_that_is_wide_open_is_gap_and_a_closed_one_gmp():
    maps = random_maps()
    for bias, expected in ((50.0, gap_of(maps)), (-50.0, gmp_of(maps))):
        assert gated(torch.zeros(5), torch.tensor(bias)).value(maps).tolist() == pytest.approx(expected, abs=1e-6)


def test_the_gate_is_each_photos_own():
    """v reads the first channel: where it is silent the gate is half open, where it is strong it is all GAP."""
    pooling = gated(torch.tensor([100.0, 0.0]), torch.zeros(1))
    silent, strong = torch.tensor([[[0.0, 0.0]], [[2.0, 6.0]]]), torch.tensor([[[1.0, 1.0]], [[2.0, 6.0]]])
    assert pooling.value(silent).tolist() == pytest.approx([0.0, 0.5 * 4 + 0.5 * 6])
    assert pooling.value(strong).tolist() == pytest.approx([1.0, 4.0])


def test_gradients_are_those_of_finite_differences():
    maps = random_maps(5, 2, 3).double() + torch.rand(5, 2, 3, dtype=torch.float64)  # no ties
    for pooling in LEARNED.values():
        assert torch.autograd.gradcheck(pooling.value, maps.requires_grad_(), atol=1e-4)


def test_what_was_learned_is_held_even_if_its_tensor_changes():
    query, maps = QUERY.clone(), random_maps()
    pooling = learned_attention(query)
    before = pooling.value(maps)
    query.zero_()
    assert torch.equal(pooling.value(maps), before)


@pytest.mark.parametrize("make", [
    lambda: learned_attention(torch.zeros(2, 3)), lambda: gated(torch.zeros(2, 3), torch.zeros(1)),
    lambda: gated(GATE, torch.zeros(2)), lambda: LEARNED["gated"].value(random_maps(4)),
    lambda: LEARNED["learned_attention"].weights(random_maps(6)), lambda: LEARNED["gated"].value(torch.zeros(5, 5)),
    lambda: LEARNED["gated"].value(random_maps(), t=1.0), lambda: pooling_with("pyramid", {}),
])
def test_what_does_not_fit_is_refused(make):
    with pytest.raises(ParameterError):
        make()


# The files.


def shipped_with(folder, tensors, kind="gem"):
    """The shipped heads in a folder, one of them with other tensors and its card with that file's sha256."""
    shutil.copytree(HEADS, folder, ignore=shutil.ignore_patterns("*.npz"))
    path = folder / f"flowers_{kind}.safetensors"
    save_file(tensors, path)
    card = json.loads((folder / "flowers.json").read_text())
    card["heads"][kind]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "flowers.json").write_text(json.dumps(card))
    return folder


def test_a_stored_head_comes_back_as_it_was(tmp_path):
    weight, bias = torch.randn(3, 5), torch.randn(3)
    tensors = {"linear.weight": weight, "linear.bias": bias, "p": torch.tensor(2.5)}
    gem = read_trained(shipped_with(tmp_path / "heads", tensors) / "flowers.json")["gem"]
    assert gem.pooling is POOLINGS["gem"]
    assert gem.parameters == {"p": 2.5}
    assert torch.allclose(gem.head(torch.ones(1, 5)), weight.sum(1) + bias)
    assert not any(parameter.requires_grad for parameter in gem.head.parameters())


@pytest.mark.parametrize("tensors", [
    {"linear.weight": torch.zeros(3, 5), "linear.bias": torch.zeros(3)},
    {"linear.weight": torch.zeros(3, 5), "linear.bias": torch.zeros(4), "p": torch.tensor(2.0)},
    {"linear.weight": torch.zeros(3), "linear.bias": torch.zeros(3), "p": torch.tensor(2.0)},
    {"linear.weight": torch.zeros(3, 5), "linear.bias": torch.zeros(3), "p": torch.tensor(200.0)},
    {"linear.weight": torch.zeros(3, 5), "linear.bias": torch.zeros(3), "p": torch.zeros(2)},
    {"linear.weight": torch.zeros(3, 5), "linear.bias": torch.zeros(3), "p": torch.tensor(math.nan)},
])
def test_a_file_that_holds_no_such_head_is_refused_by_its_name(tmp_path, tensors):
    with pytest.raises(NetworkError, match="flowers_gem"):
        read_trained(shipped_with(tmp_path / "heads", tensors) / "flowers.json")


def test_files_that_are_missing_damaged_or_exchanged_are_refused_by_their_names(tmp_path):
    with pytest.raises(NetworkError, match=r"flowers\.json cannot be read"):
        read_trained(tmp_path / "flowers.json")
    folder = tmp_path / "heads"
    shutil.copytree(HEADS, folder, ignore=shutil.ignore_patterns("*.npz"))
    assert list(read_trained(folder / "flowers.json")) == [
        "gap", "gmp", "gem", "learned_attention", "gated"]
    path = folder / "flowers_gmp.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(NetworkError, match=r"flowers_gmp.*exchanged"):
        read_trained(folder / "flowers.json")
    path.write_bytes(b"not safetensors")
    card = json.loads((folder / "flowers.json").read_text())
    card["heads"]["gmp"]["sha256"] = hashlib.sha256(b"not safetensors").hexdigest()
    (folder / "flowers.json").write_text(json.dumps(card))
    with pytest.raises(NetworkError, match=r"flowers_gmp.*not safetensors"):
        read_trained(folder / "flowers.json")
    (folder / "flowers.json").write_text(json.dumps({"heads": {"gap": {}}}))
    with pytest.raises(NetworkError, match=r"flowers\.json is damaged"):
        read_trained(folder / "flowers.json")


def test_the_shipped_heads_are_pooling_and_linear_of_their_files():
    result, maps = read_trained(HEADS / "flowers.json"), random_maps(1280, 7, 7)
    expected = {"gap": gap_of, "gmp": gmp_of}
    for kind, key in KEYS.items():
        if key not in result:  # flowers has no multi-query attention
            continue
        tensors = {name: tensor.double() for name, tensor in load_file(HEADS / f"flowers_{kind}.safetensors").items()}
        pooling, parameters, head = result[key]
        assert pooling.key == key
        if kind == "attention":
            pooled = learned_attention_of(maps, tensors["query"])
        elif kind == "gated":
            pooled = gated_of(maps, tensors["gate.weight"][0], float(tensors["gate.bias"]))
        elif kind == "gem":
            assert parameters == {"p": pytest.approx(float(tensors["p"]))}
            p = parameters["p"]
            pooled = [(sum(value ** p for value in channel) / 49) ** (1 / p) for channel in maps.flatten(1).tolist()]
        else:
            pooled = expected[kind](maps)
        logits = tensors["linear.weight"] @ torch.tensor(pooled, dtype=torch.float64) + tensors["linear.bias"]
        assert head(pooling.value(maps, **parameters)).tolist() == pytest.approx(logits.tolist(), abs=1e-3)
