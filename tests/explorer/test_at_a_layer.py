"""An earlier layer, and a network without a pooling: what can be asked is the model's own, the rest is refused."""

from __future__ import annotations

import gc
import math
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from explorer import analyse
from explorer.errors import ExplorerError, MethodError, ParameterError
from explorer.questions.channel_card import channel_card, plain_channel_card
from explorer.questions.channel_table import channel_table, plain_channel_table
from explorer.questions.comparison import largest_differences, mean_weights, path
from explorer.questions.soundness import trouble
from explorer.questions.votes import votes_average_to_logit, winners
from tests.explorer.layered import FLATTENS, network, photo

AT_ONE = ("Evidence is exact only where the network pools: at its final feature maps; one is looked at by gradients.")
CASES = {
    "flattened": (False, None, FLATTENS, "two"), "flattened, at one": (False, "one", FLATTENS, "one"),
    "pooled, at one": (True, "one", AT_ONE, "one"),
    "pooled, at two": (True, "two", AT_ONE.replace("one is", "two is"), "two"),
}
BY_GRADIENT = ["grad_cam", "grad_cam_plus_plus", "xgrad_cam", "hires_cam", "layer_cam", "finer_cam"]


def looked_at(case: str, **options):
    pooled, layer, _, _ = CASES[case]
    return analyse(network(pooled, **options), photo(), layer=layer)


def steps_of(analysis):
    return analysis.network.layers.steps


@pytest.mark.parametrize("case", CASES)
def test_it_answers_as_the_model_does(case):
    analysis = looked_at(case)
    outcome, steps = analysis.under(), steps_of(analysis)
    expected = steps(analysis.input)[0]
    torch.testing.assert_close(outcome.logits, expected)
    torch.testing.assert_close(outcome.probabilities(), torch.softmax(expected, 0))
    order = expected.argsort(descending=True).tolist()
    assert [answer.class_index for answer in outcome.top()] == order
    assert [outcome.answer(index).rank for index in order] == [1, 2, 3, 4]
    assert not outcome.logits.requires_grad


@pytest.mark.parametrize("case", CASES)
def test_its_maps_are_the_layers(case):
    analysis, key = looked_at(case), CASES[case][3]
    steps = steps_of(analysis)
    first = steps.one(analysis.input)
    torch.testing.assert_close(analysis.feature_maps, (first if key == "one" else steps.two(first))[0])
    assert analysis.framing.grid == tuple(analysis.feature_maps.shape[1:])
    assert (analysis.layer.key if CASES[case][1] else analysis.layer) == CASES[case][1]
    assert analysis.layer_name == (f"maps of {key}" if CASES[case][1] else "final feature maps")


@pytest.mark.parametrize("case", CASES)
def test_what_needs_the_pooling_is_refused_with_the_reason(case):
    analysis, reason = looked_at(case), CASES[case][2]
    outcome = analysis.under()
    assert (analysis.has_evidence, analysis.no_evidence_reason) == (False, reason)
    assert (outcome.label, outcome.name) == ("native", "GAP" if CASES[case][0] else "no pooling")
    assert outcome.under_each_pooling() == [outcome]
    assert analysis.under() is outcome
    assert outcome.multiplier is None
    for ask in (
        lambda: outcome.pooled, lambda: outcome.weights, lambda: outcome.evidence(0), lambda: outcome.evidences([0, 1]),
        lambda: analysis.under("gmp"), lambda: analysis.under("gap"), lambda: analysis.under("nonsense"),
        lambda: analysis.under(p=3), lambda: analysis.votes(), lambda: analysis.votes(1), lambda: winners(outcome),
        lambda: analysis.cam("grad_cam", 0, "gmp"), lambda: path(analysis, "gem", [0]),
        lambda: mean_weights(outcome, 0),
        lambda: largest_differences(outcome, outcome, 0), lambda: channel_table(outcome, 0),
        lambda: channel_card(outcome, 0, 0),
    ):
        with pytest.raises(MethodError) as error:
            ask()
        assert str(error.value) == reason
    assert votes_average_to_logit(outcome) is False


def test_a_pooled_network_without_a_layer_is_taken_apart_as_ever():
    analysis = analyse(network(), photo())
    assert (analysis.has_evidence, analysis.no_evidence_reason, analysis.layer) == (True, "", None)
    assert analysis.under("gmp").label == "what-if"
    assert len(analysis.under().under_each_pooling()) == 8


@pytest.mark.parametrize(("layer", "words"), [("three", "no layer 'three'"), ("", "no layer ''")])
def test_an_unknown_layer_is_refused_with_those_that_exist(layer, words):
    with pytest.raises(MethodError, match=f"{words}; expected one of one, two"):
        analyse(network(), photo(), layer=layer)


def test_a_network_whose_layers_are_not_known_says_so(make_network):
    with pytest.raises(MethodError, match="no other layers"):
        analyse(make_network(), photo(), layer="one")


# Gradients and CAMs.


def along(analysis, key, index, at, step):
    """The class's logit with one number of the maps moved, in double precision, without any of the package."""
    steps = steps_of(analysis).double()
    maps = analysis.feature_maps.double().clone()
    maps[at] += step
    with torch.no_grad():
        later = steps.two(maps[None]) if key == "one" else maps[None]
        value = float(steps.rest(later.mean((2, 3)) if steps.pooled else later)[0, index])
    steps.float()
    return value


@pytest.mark.parametrize("case", CASES)
def test_the_gradient_is_what_the_logit_does_when_one_number_moves(case):
    analysis, key = looked_at(case), CASES[case][3]
    context, (channels, rows, columns) = analysis.under().cam_context, analysis.feature_maps.shape
    rng = np.random.default_rng(1)
    for index in range(4):
        gradient = context.gradient(index)
        assert gradient.shape == analysis.feature_maps.shape
        for _ in range(6):
            at = (int(rng.integers(channels)), int(rng.integers(rows)), int(rng.integers(columns)))
            slope = (along(analysis, key, index, at, 1e-4) - along(analysis, key, index, at, -1e-4)) / 2e-4
            assert float(gradient[at]) == pytest.approx(slope, abs=1e-5)


@pytest.mark.parametrize("method", [*BY_GRADIENT, "eigen_cam", "score_cam"])
def test_the_last_layer_of_a_pooled_network_gives_the_maps_that_its_pooling_and_head_give(method):
    # Two ways to the same: a graph through all that follows, or the pooling's gradient times the head's slopes.
    net = network()
    at_layer, taken_apart = analyse(net, photo(), layer="two"), analyse(net, photo())
    for index in range(4):
        one, other = at_layer.cam(method, index), taken_apart.cam(method, index)
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6 * float(other.abs().max()) + 1e-7)
        assert one.abs().max() > 0


def test_layer_cams_and_grad_cams_sum_is_loops_over_gradients():
    analysis = looked_at("flattened, at one")
    gradient, maps = analysis.under().cam_context.gradient(2).tolist(), analysis.feature_maps.tolist()
    hires, layer, grad = np.zeros((12, 12)), np.zeros((12, 12)), np.zeros((12, 12))
    for k in range(4):
        mean = sum(sum(row) for row in gradient[k]) / 144
        for i, j in np.ndindex(12, 12):
            hires[i, j] += gradient[k][i][j] * maps[k][i][j]
            layer[i, j] += max(gradient[k][i][j], 0) * maps[k][i][j]
            grad[i, j] += mean * maps[k][i][j]
    for method, expected in (("hires_cam", hires), ("layer_cam", layer), ("grad_cam", grad)):
        np.testing.assert_allclose(analysis.cam(method, 2).numpy(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("case", ["flattened", "flattened, at one"])  # 6 channels at 16 positions, 4 at 144
def test_eigen_cam_is_the_first_right_singular_vector_whichever_side_is_longer(case):
    analysis = looked_at(case)
    maps = analysis.feature_maps.double().flatten(1).numpy()
    _, values, vectors = np.linalg.svd(maps, full_matrices=False)
    expected = values[0] * vectors[0] * np.sign(vectors[0] @ maps.sum(0))
    np.testing.assert_allclose(analysis.cam("eigen_cam", 0).numpy().ravel(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("method", "name"), [("cam", "CAM"), ("ablation_cam", "Ablation-CAM")])
def test_methods_that_need_the_pooling_and_the_head_say_so(method, name):
    for case in CASES:
        with pytest.raises(MethodError, match=rf"^{name} needs a pooling and the head that follows it, which these "
                                              r"maps do not have; Grad-CAM needs neither\.$"):
            looked_at(case).cam(method, 0)


def test_bad_classes_methods_and_options_are_refused_as_anywhere():
    analysis = looked_at("flattened")
    for ask, words in ((lambda: analysis.cam("grad_cam", 4), "no class 4"),
                       (lambda: analysis.cam("x", 0), "no CAM method"),
                       (lambda: analysis.cam("grad_cam", 0, batch=3), "no option batch")):
        with pytest.raises(ParameterError, match=words):
            ask()


def test_maps_that_the_answer_does_not_depend_on_have_a_gradient_of_zero():
    analysis = looked_at("flattened, at one")
    layers = analysis.network.layers
    layers.answer = lambda x, key, maps: layers.steps(x)
    assert analysis.under().cam_context.gradient(1).tolist() == torch.zeros(4, 12, 12).tolist()
    layers.answer = lambda x, key, maps: layers.steps(x) + 0 * maps.detach().sum().requires_grad_()
    assert looked_at("flattened").cam("grad_cam", 0).shape == (4, 4)


# What it costs.


def test_one_pass_to_the_layer_and_one_from_it_are_all_that_it_takes():
    analysis = looked_at("flattened, at one")
    passes = steps_of(analysis).passes
    assert passes == {"one": 1, "two": 0, "rest": 0}
    outcome = analysis.under()
    for index in range(4):
        outcome.cam("grad_cam", index)
        outcome.cam("finer_cam", index)
        outcome.answer(index)
    assert passes == {"one": 1, "two": 1, "rest": 1}


def test_only_the_last_two_graphs_are_kept_and_what_they_gave_is_not_forgotten():
    analyses = [looked_at("flattened, at one", seed=seed) for seed in range(3)]
    first = [analysis.cam("grad_cam", 0) for analysis in analyses]
    assert [steps_of(analysis).passes["rest"] for analysis in analyses] == [1, 1, 1]
    for analysis in analyses:
        analysis.cam("layer_cam", 0)  # of a gradient that is remembered
        _ = analysis.under().logits
    assert [steps_of(analysis).passes["rest"] for analysis in analyses] == [1, 1, 1]
    later = [analysis.cam("grad_cam", 1) for analysis in reversed(analyses)]
    assert [steps_of(analysis).passes["rest"] for analysis in analyses] == [2, 1, 1]
    for seed, (one, other) in enumerate(zip(first, reversed(later), strict=True)):
        alone = looked_at("flattened, at one", seed=seed)
        torch.testing.assert_close(one, alone.cam("grad_cam", 0))
        torch.testing.assert_close(other, alone.cam("grad_cam", 1))


def test_a_kept_graph_does_not_keep_its_network_alive():
    analysis = looked_at("flattened")
    analysis.cam("grad_cam", 0)
    gone = weakref.ref(analysis.network)
    del analysis
    gc.collect()
    assert gone() is None


# Channels without contributions.


def test_channels_are_ranked_by_mean_spread_sparsity_and_number():
    analysis = looked_at("flattened, at one")
    maps = analysis.feature_maps.double().numpy()
    table = plain_channel_table(analysis)
    assert table.rankings == ("pooled", "spread", "sparsity", "index")
    assert table.kinds == ("all", "silent")
    expected = {
        "pooled": [one.mean() for one in maps], "spread": [one.std() for one in maps],
        "sparsity": [(one <= 0).mean() for one in maps],
    }
    for ranking, values in expected.items():
        np.testing.assert_allclose(getattr(table, ranking), values, atol=1e-6)
        assert table.order(ranking).tolist() == sorted(range(4), key=lambda k: (-values[k], k))
    assert table.order("index").tolist() == [0, 1, 2, 3]
    assert table.order().tolist() == table.order("pooled").tolist()
    assert [table.rank(int(channel)) for channel in table.order()] == [1, 2, 3, 4]
    assert (table.contribution, table.weight, table.baseline) == (None, None, None)


def test_what_needs_contributions_is_refused_with_the_reason():
    table = plain_channel_table(looked_at("flattened"))
    for ask in (lambda: table.order("contribution"), lambda: table.order(kind="paying"),
                lambda: table.count("opposing"), table.top_contributors, table.running):
        with pytest.raises(MethodError) as error:
            ask()
        assert str(error.value) == FLATTENS
    with pytest.raises(ParameterError, match="no ranking 'x'"):
        table.order("x")
    with pytest.raises(ParameterError, match="no channel 6"):
        table.rank(6)


def test_a_card_without_a_class_counts_the_maps_numbers():
    analysis = looked_at("flattened")
    values = analysis.feature_maps[3].double().numpy().ravel()
    card = plain_channel_card(analysis, 3)
    assert (card.minimum, card.maximum, card.mean) == pytest.approx((values.min(), values.max(), values.mean()))
    assert card.histogram[0].sum() == 16
    assert card.rank == 1 + sum(one.mean() > values.mean() for one in analysis.feature_maps.double().numpy())
    assert (card.contribution, card.pooled_under, card.raises) == (None, [], [])
    with pytest.raises(ParameterError, match="no channel 9"):
        plain_channel_card(analysis, 9)


# Numbers that are not finite.


@pytest.mark.parametrize(("case", "damaged", "expected"), [
    ("flattened, at one", "one", "The maps of one hold 144 numbers that are NaN or infinite (of 576); they first arise "
                                 "in the layer one."),
    ("pooled, at two", "one", "The maps of two hold 96 numbers that are NaN or infinite (of 96); they first arise in "
                              "the layer one."),
    ("pooled, at two", "two", "The maps of two hold 16 numbers that are NaN or infinite (of 96); they first arise in "
                              "the layer two."),
    ("flattened", "rest", "The logits hold 1 number that is NaN or infinite (of 4); it first arises in what follows "
                          "the feature maps."),
    ("flattened, at one", "two", "The logits hold 4 numbers that are NaN or infinite (of 4); they first arise in what "
                                 "follows the maps of one."),
])
def test_trouble_is_named_where_it_arises(case, damaged, expected):
    pooled, layer, _, _ = CASES[case]
    net = network(pooled)
    part = getattr(net.layers.steps, damaged)
    next(module for module in part.modules() if isinstance(module, (nn.Conv2d, nn.Linear))).bias.data[0] = math.nan
    assert trouble(analyse(net, photo(), layer=layer).under()) == expected


def test_where_all_is_well_there_is_no_trouble():
    for case in CASES:
        assert trouble(looked_at(case).under()) is None


def test_trouble_in_the_final_maps_of_a_network_without_a_pooling_names_its_layer():
    net = network(False)
    net.layers.steps.two[0].bias.data[1] = math.inf
    result = trouble(analyse(net, photo()).under())
    assert result.startswith("The feature maps hold 16 numbers that are NaN or infinite (of 96); they first arise in")
    assert "two.0" in result


def test_every_error_here_is_one_sentence():
    analysis = looked_at("flattened")
    for ask in (lambda: analysis.under("gmp"), lambda: analysis.cam("cam", 0), lambda: analyse(network(), photo(),
                                                                                            layer="x")):
        with pytest.raises(ExplorerError) as error:
            ask()
        assert str(error.value).endswith(".")
        assert "\n" not in str(error.value)
