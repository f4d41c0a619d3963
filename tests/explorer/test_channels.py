"""Channels: ranked, counted and described, against sums and sorts written out by hand."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from explorer import POOLINGS, analyse
from explorer.errors import ParameterError
from explorer.questions.channel_card import channel_card
from explorer.questions.channel_table import KINDS, RANKINGS, ChannelTable, TopContributors, channel_table
from explorer.sections.channels import top_channels
from tests.explorer import second_derivations as again
from tests.explorer.test_report import Tree
from tests.explorer.tiny import analysis_of, heads, linear, random_maps

NAN, INF = float("nan"), float("inf")

# Four channels on 2 x 2 positions and two classes. GAP keeps 2, 1, 0 and 1 of them.
MAPS = torch.tensor([
    [[8.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]], [[0.0, 2.0], [2.0, 0.0]],
])
ROWS, BIASES = [[1.0, -3.0, 5.0, 4.0], [-1.0, 0.5, -5.0, 0.0]], [0.5, -0.25]


@pytest.fixture
def outcome(make_network):
    return analysis_of(make_network(linear(ROWS, BIASES), classes=2, channels=4), MAPS).under("gap")


# The table.


def test_the_table_of_a_tiny_network_by_hand(outcome):
    table = channel_table(outcome, 0)
    assert table.pooled.tolist() == [2, 1, 0, 1]
    assert table.weight.tolist() == [1, -3, 5, 4]
    assert table.contribution.tolist() == [2, -3, 0, 4]
    assert table.spread == pytest.approx([12 ** 0.5, 0, 0, 1])  # channel 0: (36 + 3 * 4) / 4 = 12
    assert table.sparsity.tolist() == [0.75, 0, 1, 0.5]
    assert table.silent.tolist() == [False, False, True, False]
    assert table.baseline == 0.5


@pytest.mark.parametrize(("ranking", "expected"), [
    ("contribution", [3, 0, 2, 1]), ("pooled", [0, 1, 3, 2]), ("spread", [0, 3, 1, 2]), ("sparsity", [2, 0, 3, 1]),
    ("index", [0, 1, 2, 3]),
])
def test_each_ranking_of_a_tiny_network_by_hand(outcome, ranking, expected):
    assert channel_table(outcome, 0).order(ranking).tolist() == expected


def test_each_kind_of_a_tiny_network_by_hand(outcome):
    table = channel_table(outcome, 0)
    assert {kind: table.order("index", kind).tolist() for kind in KINDS} == {
        "all": [0, 1, 2, 3], "paying": [0, 3], "opposing": [1], "silent": [2]}
    assert {kind: table.count(kind) for kind in KINDS} == {"all": 4, "paying": 2, "opposing": 1, "silent": 1}
    # For the other class the weight of channel 3 is 0: it is not silent, and neither pays nor opposes.
    assert {kind: channel_table(outcome, 1).order("index", kind).tolist() for kind in KINDS} == {
        "all": [0, 1, 2, 3], "paying": [1], "opposing": [0], "silent": [2]}


def test_the_ranks_run_from_one(outcome):
    assert [channel_table(outcome, 0).rank(channel) for channel in range(4)] == [2, 4, 3, 1]
    assert channel_table(outcome, 0).rank(np.int64(3)) == 1


def test_the_running_sum_by_hand(outcome):
    assert channel_table(outcome, 0).running().tolist() == [0.5, 4.5, 6.5, 6.5, 3.5]


def test_the_top_contributors_by_hand(outcome):
    # 4 and 2 are positive: 4 alone is two thirds.
    table = channel_table(outcome, 0)
    assert table.top_contributors(0.8) == TopContributors(2, 4, 1.0)
    assert table.top_contributors(0.6) == TopContributors(1, 4, pytest.approx(2 / 3))
    assert table.top_contributors() == table.top_contributors(0.8)


def table_of(contribution: list[float], silent: list[bool]) -> ChannelTable:
    """A table whose contributions are the numbers given, to the last bit."""
    ones = np.ones(len(contribution))
    return ChannelTable(np.array(contribution), ones, np.array(contribution), ones, ones, np.array(silent), 0.0)


def test_exactly_the_share_is_enough_whatever_rounding_does_to_it():
    # In float64 four of five 0.3, or 0.7, are a hair less than 0.8 of their sum.
    for number in (0.3, 0.7):
        assert table_of([number] * 5, [False] * 5).top_contributors(0.8).count == 4


def test_a_silent_channel_to_which_rounding_leaves_a_contribution_is_silent_alone():
    table = table_of([1e-17, -1e-17, 0.0, 2.0], [True, True, False, False])
    kinds = {kind: table.order("index", kind).tolist() for kind in KINDS}
    assert kinds == {"all": [0, 1, 2, 3], "paying": [3], "opposing": [], "silent": [0, 1]}
    assert table.top_contributors(1.0) == TopContributors(1, 4, 1.0)


def test_there_are_no_top_contributors_where_nothing_is_positive(make_network):
    network = make_network(linear([[-1.0, -2.0]], [3.0]), classes=1, channels=2)
    assert channel_table(analysis_of(network, torch.ones(2, 1, 1)).under("gap"), 0).top_contributors() is None
    assert channel_table(analysis_of(network, torch.zeros(2, 2, 2)).under("gmp"), 0).top_contributors() is None


@pytest.mark.parametrize("share", [0, 1.01, NAN])
def test_a_share_outside_its_range_is_refused(outcome, share):
    with pytest.raises(ParameterError, match="share is"):
        channel_table(outcome, 0).top_contributors(share)


def test_unknown_keys_channels_and_classes_are_refused_with_what_exists(outcome):
    table = channel_table(outcome, 0)
    with pytest.raises(ParameterError, match="no ranking 'loud'; expected one of contribution, pooled, spread"):
        table.order("loud")
    for ask in (table.count, lambda kind: table.order("index", kind)):
        with pytest.raises(ParameterError, match="no kind of channel 'quiet'; expected one of all, paying, opposing"):
            ask("quiet")
    for channel in (4, -1, 1.0, True, "0", None):
        with pytest.raises(ParameterError, match="no channel"):
            table.rank(channel)
        with pytest.raises(ParameterError, match="no channel"):
            channel_card(outcome, 0, channel)
    with pytest.raises(ParameterError, match="no class 2"):
        channel_table(outcome, 2)
    with pytest.raises(ParameterError, match="no class -1"):
        channel_card(outcome, -1, 0)


def test_the_registries_are_as_the_pages_expect():
    assert list(RANKINGS) == ["contribution", "pooled", "spread", "sparsity", "index"]
    assert list(KINDS) == ["all", "paying", "opposing", "silent"]
    for key, ranking in RANKINGS.items():
        assert ranking.key == key
        assert ranking.name
        assert ranking.explanation.endswith(".")


def test_the_table_is_remembered_and_cannot_be_written_to(outcome):
    table = channel_table(outcome, 0)
    assert channel_table(outcome, 0) is table
    assert channel_table(outcome, 1) is not table
    for name in ("contribution", "pooled", "weight", "spread", "sparsity", "silent"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(table, name)[0] = 1


# Against plain loops, on numbers of all sorts.

NUMBERS = st.sampled_from([0.0, 0.0, 0.1, 0.25, 1.0, 1.0, 3.0, -2.0])


@st.composite
def tiny_cases(draw):
    channels, rows, columns = (draw(st.integers(1, most)) for most in (5, 2, 3))
    maps = draw(st.lists(NUMBERS, min_size=channels * rows * columns, max_size=channels * rows * columns))
    weights = draw(st.lists(NUMBERS, min_size=channels, max_size=channels))
    return torch.tensor(maps).reshape(channels, rows, columns), weights, draw(st.sampled_from(list(POOLINGS)))


@given(tiny_cases())
def test_orders_kinds_and_carriers_agree_with_plain_loops(make_network, case):
    maps, weights, pooling = case
    channels = len(maps)
    network = make_network(linear([weights], [0.5]), classes=1, channels=channels)
    table = channel_table(analysis_of(network, maps).under(pooling), 0)
    values = [[value for row in one for value in row] for one in maps.double().tolist()]
    contribution = table.contribution.tolist()
    for k, one in enumerate(values):
        mean = sum(one) / len(one)
        assert table.spread[k] == pytest.approx((sum((v - mean) ** 2 for v in one) / len(one)) ** 0.5, abs=1e-6)
        assert table.sparsity[k] == pytest.approx(sum(1 for v in one if not v > 0) / len(one))
        assert table.silent[k] == all(v == 0 for v in one)

    kinds = {kind: set(table.order("index", kind).tolist()) for kind in KINDS}
    assert kinds["all"] == set(range(channels))
    assert not kinds["paying"] & kinds["opposing"] | kinds["silent"] & (kinds["paying"] | kinds["opposing"])
    for k in kinds["all"] - kinds["silent"]:
        assert (k in kinds["paying"], k in kinds["opposing"]) == (contribution[k] > 0, contribution[k] < 0)
    for ranking in RANKINGS:
        keys = [0] * channels if ranking == "index" else [-v for v in getattr(table, ranking).tolist()]
        for kind in KINDS:
            expected = sorted(kinds[kind], key=lambda k, keys=keys: (keys[k], k))
            assert table.order(ranking, kind).tolist() == expected
            assert table.count(kind) == len(expected)

    running = table.running()
    assert running.shape == (channels + 1,)
    assert running[0] == pytest.approx(0.5)
    assert running[-1] == pytest.approx(0.5 + sum(contribution))
    for share in (0.3, 0.8, 1.0):
        result, paying = table.top_contributors(share), [contribution[k] for k in kinds["paying"]]
        enough = [
            n for n in range(1, len(paying) + 1)
            if any(sum(some) >= share * sum(paying) - 1e-8 for some in combinations(paying, n))
        ]
        assert (result is None) == (not paying)
        assert result is None or (result.count, result.total) == (enough[0], channels)


@pytest.mark.parametrize("name", heads())
def test_the_running_sum_ends_at_the_logit_with_every_head(make_network, name):
    outcome = analysis_of(make_network(heads()[name]), random_maps()).under("gmp")
    for index in range(4):
        table = channel_table(outcome, index)
        assert table.running()[0] == table.baseline
        assert table.running()[-1] == pytest.approx(float(outcome.logits[index]), abs=1e-2 if "Hard" in name else 1e-4)
        assert table.contribution == pytest.approx(table.weight * table.pooled, abs=1e-5)


def test_nan_comes_last_and_is_of_no_kind_but_all(make_network):
    network = make_network(linear([[1.0, 1.0, -1.0, 1.0]], [0.0]), classes=1, channels=4)
    maps = torch.tensor([NAN, 1.0, 1.0, 0.0]).reshape(4, 1, 1).repeat(1, 2, 2)
    table = channel_table(analysis_of(network, maps).under("gap"), 0)
    assert table.order().tolist() == [1, 3, 2, 0]
    assert table.order("pooled").tolist() == [1, 2, 3, 0]
    assert [table.count(kind) for kind in KINDS] == [4, 1, 1, 1]
    assert table.top_contributors().count == 1
    assert table.rank(0) == 4
    assert np.isnan(table.running()).tolist() == [False, False, False, False, True]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [NAN, INF])
def test_maps_that_are_not_finite_do_not_stop_a_table_or_a_card(make_network, bad):
    maps = random_maps()
    maps[1, 0, 0], maps[2] = bad, bad
    maps[3, 0, :2] = torch.tensor([INF, -INF])
    for pooling in ("gap", "attention"):
        for name, head in heads().items():
            outcome = analysis_of(make_network(head), maps).under(pooling)
            table = channel_table(outcome, 0)
            assert sorted(table.order().tolist()) == list(range(5)), name
            assert len(table.running()) == 6
            table.top_contributors()
            for channel in range(5):
                assert channel_card(outcome, 0, channel).count == 5
    assert channel_card(outcome, 0, 1).histogram[0].sum() == 11  # one of twelve is not finite
    assert channel_card(outcome, 0, 2).histogram[0].tolist() == [0]


# The card.


def test_the_card_of_a_tiny_network_by_hand(outcome):
    card = channel_card(outcome, 0, 0)
    assert (card.channel, card.contribution, card.weight, card.rank, card.count) == (0, 2, 1, 2, 4)
    assert card.raises == [(0, "class 0", 1.0)]
    assert card.lowers == [(1, "class 1", -1.0)]
    assert card.weights_are == "weights"
    assert (card.minimum, card.maximum, card.mean, card.zero_share) == (0, 8, 2, 0.75)
    counts, edges = card.histogram
    assert counts.tolist() == [3, 0, 0, 1]
    assert edges.tolist() == [0, 2, 4, 6, 8]
    assert card.pooled_under[:2] == [("GAP", "native", 2.0), ("GMP", "what-if", 8.0)]


@pytest.mark.parametrize(("value", "edges"), [(3.0, [2.5, 3.5]), (-1000.0, [-1010, -990])])
def test_a_map_with_a_single_value_has_one_bin_around_it(make_network, value, edges):
    network = make_network(linear([[1.0]], [0.0]), classes=1, channels=1)
    card = channel_card(analysis_of(network, torch.full((1, 3, 3), value)).under("gap"), 0, 0)
    assert card.histogram[0].tolist() == [9]
    assert card.histogram[1].tolist() == edges
    assert card.zero_share == (value == 0)


def test_the_histogram_counts_every_position_once_in_at_most_twenty_bins(network, examples):
    analysis = analyse(network, examples["coffee"])
    for channel in range(0, 1280, 64):
        card = channel_card(analysis.under(), 967, channel)
        counts, edges = card.histogram
        values = analysis.feature_maps[channel].flatten().tolist()
        assert len(counts) <= 20
        assert len(edges) == len(counts) + 1
        assert counts.sum() == 49
        if len(counts) > 1:
            assert (edges[0], edges[-1]) == (min(values), max(values))
            for n in range(len(counts)):
                last = n == len(counts) - 1
                inside = [v for v in values if edges[n] <= v < edges[n + 1] or (last and v == edges[-1])]
                assert counts[n] == len(inside)


@pytest.mark.parametrize("channel", [0, 3])
def test_the_pooled_value_under_each_pooling_agrees_with_the_second_derivation(make_network, channel):
    maps = random_maps(4)
    outcome = analysis_of(make_network(channels=4), maps).under("gem", p=4)
    result = channel_card(outcome, 0, channel).pooled_under
    chosen = {key: () if pooling.parameter is None else (pooling.parameter.default,)
              for key, pooling in POOLINGS.items()} | {"gem": (4.0,)}
    expected = [again.pooled(key, maps.double().tolist(), *chosen[key])[channel] for key in POOLINGS]
    assert [item.value for item in result] == pytest.approx(expected, abs=1e-5)
    assert [item.label for item in result] == ["native"] + ["what-if"] * 7
    assert result[list(POOLINGS).index("gem")].name == "GeM, p = 4"


def test_a_native_pooling_keeps_the_networks_parameter(make_network):
    outcome = analysis_of(make_network(pooling="gem", p=2.5), random_maps()).under("gap")
    labels = {item.name: item.label for item in channel_card(outcome, 0, 0).pooled_under}
    assert labels["GeM, p = 2.5"] == "native"
    assert labels["GAP"] == "what-if"
    assert list(labels.values()).count("native") == 1


def ranked(weights: list[float]) -> tuple[list[int], list[int]]:
    """The five classes with the largest weight above 0, and the five furthest below it."""
    best = sorted((-w, c) for c, w in enumerate(weights) if w > 0)
    worst = sorted((w, c) for c, w in enumerate(weights) if w < 0)
    return [c for _, c in best[:5]], [c for _, c in worst[:5]]


def as_classes(card) -> tuple[list[int], list[int]]:
    return [item.class_index for item in card.raises], [item.class_index for item in card.lowers]


def test_the_bundled_networks_card_reads_a_column_of_its_head(network, examples):
    outcome = analyse(network, examples["rocket"]).under("gmp")
    for channel in (0, 7, 1279):
        card = channel_card(outcome, 657, channel)
        column = network.head.weight[:, channel].tolist()
        assert as_classes(card) == ranked(column)
        assert [item.weight for item in card.raises] == [column[c] for c in as_classes(card)[0]]
        assert [item.name for item in card.raises] == [network.class_names[c] for c in as_classes(card)[0]]
        assert card.weights_are == "weights"
        assert card.weight == pytest.approx(column[657])


@pytest.mark.parametrize("name", [name for name in heads() if "Norm1d" in name or name.startswith(("Linear w", "Fl"))])
def test_the_weights_of_an_affine_head_are_differences_of_its_answers(make_network, name):
    head = heads(5, 12)[name].eval()
    outcome = analysis_of(make_network(head, classes=12), random_maps()).under("gap")
    with torch.no_grad():
        differences = (head(torch.eye(5)) - head(torch.zeros(1, 5))).tolist()
    for channel in range(5):
        card = channel_card(outcome, 0, channel)
        assert as_classes(card) == ranked(differences[channel])
        for item in card.raises + card.lowers:
            assert item.weight == pytest.approx(differences[channel][item.class_index], abs=1e-5)
        assert card.weights_are == "weights"


def test_behind_a_layer_norm_the_weights_are_slopes_with_its_statistics_held(make_network):
    norm, last = nn.LayerNorm(5), nn.Linear(5, 12)
    torch.manual_seed(1)
    norm.weight.data.normal_()
    outcome = analysis_of(make_network(nn.Sequential(norm, last), classes=12), random_maps()).under("gmp")
    pooled = outcome.pooled.double().tolist()
    mean = sum(pooled) / 5
    deviation = (sum((y - mean) ** 2 for y in pooled) / 5 + norm.eps) ** 0.5
    for channel in range(5):
        card = channel_card(outcome, 3, channel)
        slopes = [float(last.weight[c, channel] * norm.weight[channel]) / deviation for c in range(12)]
        assert as_classes(card) == ranked(slopes)
        for item in card.raises + card.lowers:
            assert item.weight == pytest.approx(slopes[item.class_index], rel=1e-4)
        assert card.weight == pytest.approx(slopes[3], rel=1e-4)
        assert card.weights_are == "slopes at this photo"


def test_the_weights_of_a_nonlinear_head_are_its_derivatives_at_the_pooled_vector(make_network):
    # Logit c is (c + 1) times the sum of k * y_k ** 2: its derivative is (c + 1) * 2 * k * y_k.
    outcome = analysis_of(make_network(heads()["polynomial"]), random_maps()).under("gap")
    for channel in range(5):
        card = channel_card(outcome, 0, channel)
        slopes = [(c + 1) * 2 * channel * float(outcome.pooled[channel]) for c in range(4)]
        assert as_classes(card) == ranked(slopes)
        assert [item.weight for item in card.raises] == pytest.approx([slopes[c] for c in as_classes(card)[0]])
        assert card.weights_are == "slopes at this photo"
        # The way to the pooled vector is half as steep as its end.
        assert card.weight == pytest.approx(slopes[0] / 2, abs=1e-5)


def test_the_derivatives_of_a_head_with_bends_agree_with_small_steps(make_network):
    head = heads(5, 6)["Linear, Hardswish, Linear"]
    outcome = analysis_of(make_network(head, classes=6), random_maps()).under("gap")
    fine, pooled = heads(5, 6)["Linear, Hardswish, Linear"].double(), outcome.pooled.double()
    for channel in range(5):
        step = torch.zeros(5, dtype=torch.float64)
        step[channel] = 1e-6
        with torch.no_grad():
            slopes = ((fine((pooled + step)[None]) - fine((pooled - step)[None]))[0] / 2e-6).tolist()
        card = channel_card(outcome, 0, channel)
        assert as_classes(card) == ranked(slopes)
        for item in card.raises + card.lowers:
            assert item.weight == pytest.approx(slopes[item.class_index], abs=1e-4)


def test_a_head_without_weights_raises_its_own_class_alone(make_network):
    outcome = analysis_of(make_network(nn.Identity(), classes=5), random_maps()).under("gap")
    card = channel_card(outcome, 0, 3)
    assert card.raises == [(3, "class 3", 1.0)]
    assert card.lowers == []


@pytest.mark.parametrize("weight", [2.0, -2.0, 0.0])
def test_one_class_one_channel_and_one_position_are_enough(make_network, weight):
    network = make_network(linear([[weight]], [1.0]), classes=1, channels=1)
    outcome = analysis_of(network, torch.full((1, 1, 1), 3.0)).under("gap")
    card, table = channel_card(outcome, 0, 0), channel_table(outcome, 0)
    assert (card.rank, card.count, card.contribution) == (1, 1, 3 * weight)
    assert len(card.raises) == (weight > 0)
    assert len(card.lowers) == (weight < 0)
    assert table.running().tolist() == [1.0, 1.0 + 3 * weight]
    assert table.spread.tolist() == [0.0]


def test_threads_that_share_an_outcome_get_the_same_cards(make_network):
    for name in ("Linear", "LayerNorm, Linear", "Linear, Hardswish, Linear"):
        outcome = analysis_of(make_network(heads()[name]), random_maps()).under("gem")
        with ThreadPoolExecutor(8) as pool:
            cards = list(pool.map(lambda n, outcome=outcome: channel_card(outcome, n % 4, n % 5), range(80)))
        alone = analysis_of(make_network(heads()[name]), random_maps()).under("gem")
        for n, card in enumerate(cards):
            expected = channel_card(alone, n % 4, n % 5)
            assert (card.rank, card.raises, card.pooled_under) == (
                expected.rank, expected.raises, expected.pooled_under)


def test_nothing_of_the_head_is_left_changed(make_network):
    network = make_network()
    before = {name: tensor.clone() for name, tensor in network.head.state_dict().items()}
    channel_card(analysis_of(network, random_maps()).under(), 0, 1)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.head.state_dict().items())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in network.head.parameters())


# The tiles of those that contribute most.


def accounts(outcome, class_index) -> list[str]:
    return Tree(top_channels(outcome, class_index).markup()).text("span", "account")


def test_a_channel_with_a_negative_contribution_comes_last(make_network, examples):
    head = nn.Linear(5, 2)
    with torch.no_grad():
        head.weight[1] = torch.tensor([-900.0, 1, 2, 3, 4])
    tiles = accounts(analyse(make_network(head, classes=2, activation=nn.Sigmoid()), examples["cat"]).under(), 1)
    assert len(tiles) == 5
    assert re.fullmatch(r"channel0\d\.\d\d × −900\.00−\d+\.\d\d", tiles[-1])


def test_the_top_contributing_channels_are_in_order_and_multiply(network, examples):
    analysis, helmet = analyse(network, examples["astronaut"]), 560
    maps, weight = analysis.feature_maps.double(), network.head.weight[helmet].double()
    contributions = weight * maps.mean((1, 2))
    best = contributions.topk(6).indices.tolist()
    assert accounts(analysis.under(), helmet) == [
        f"channel{k}{float(maps[k].mean()):.2f} × {float(weight[k]):.2f}{float(contributions[k]):+.2f}" for k in best]
