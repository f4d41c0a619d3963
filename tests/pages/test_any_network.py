"""The pages for any network: without a pooling, at another layer, multi-label, of any size and name."""

from __future__ import annotations

import dataclasses
import html
import time

import numpy as np
import pytest
import torch
from torch import nn

from explorer.poolings.native import CATAVGMAX
from explorer.wording import class_answer, percent, plain, signed
from tests.explorer.tiny import analysis_of, linear
from tests.pages.arithmetic import softmax
from tests.pages.boards import boards, components, control, figures, is_plain_sentence, notices, viewers
from tests.pages.classifiers import (
    Flattened,
    Pooled,
    attention_by_hand,
    flat_weights,
    maps_of,
    network_of,
    seeded,
    seen,
    vision_transformer,
)
from tests.pages.clicks import pick, use

EXPLORE, CHANNELS, POOLS, MAPS, WHY, METHOD = PAGES = (
    "app.py", "pages/1_Feature_maps.py", "pages/2_Poolings.py", "pages/3_Activation_maps.py", "pages/4_Why.py",
    "pages/7_Method.py")


@pytest.fixture(scope="module")
def flat(examples):
    """A network that flattens its maps, at the cat."""
    names = ["ant", "bee", "cat", "dog"]
    return seen(network_of(seeded(Flattened), class_names=names, title="Flat"), examples["cat"])


@pytest.fixture(scope="module")
def transformer(examples):
    return seen(network_of(vision_transformer(), title="Small ViT"), examples["cat"])


@pytest.fixture(scope="module")
def first_block(transformer, examples):
    """The same network at the maps that its last block attends to."""
    network = transformer.network
    return seen(network, examples["cat"], network.layers.all[-1].key)


def logits_of(flat) -> np.ndarray:
    weight, bias = flat_weights(flat)
    return (weight * maps_of(flat)).sum((1, 2, 3)) + bias


def grad_cam(flat, index: int) -> np.ndarray:
    weight = flat_weights(flat)[0][index].mean((1, 2))
    cam = (weight[:, None, None] * maps_of(flat)).sum(0)
    return cam / np.abs(cam).max()


def widget(page, kind: str, label: str):
    (result,) = (item for item in page.get(kind) if item.label == label)
    return result


# A network without a pooling.


def test_explore_shows_the_answers_of_a_network_that_flattens_and_says_why_there_are_no_poolings(flat, put, open_page):
    put(flat)
    page = open_page(EXPLORE)
    assert not page.exception
    shares = softmax(logits_of(flat))
    best = np.argsort(-shares)
    names = flat.network.class_names
    assert boards(page)["headline"].one("says").text == names[best[0]]
    assert percent(shares[best[0]]) in boards(page)["headline"].one("h1").text
    (column,) = boards(page)["answers"].all("column")
    assert column.one("h3").text == "Flat"
    assert [(answer.one("name").text, answer.one("number").text) for answer in column.all("answer")] == [
        (names[index], percent(shares[index])) for index in best]
    assert widget(page, "selectbox", "Pooling").disabled
    sentence = boards(page)["why_not"].text
    assert is_plain_sentence(sentence)
    assert "flatten" in sentence


def test_where_evidence_would_be_explore_shows_grad_cam_without_a_unit(flat, put, open_page):
    put(flat)
    shown = viewers(open_page(EXPLORE, **{"class": "1"}))["evidence"]
    assert shown.chosen.id == "1.grad-cam"
    np.testing.assert_allclose(shown.chosen.values, grad_cam(flat, 1), atol=1e-5 + shown.chosen.step)
    assert (shown.chosen.unit, shown.chosen.limit) == ("", 1.0)
    assert shown.chosen.unitName == "of its own largest, no unit"
    assert shown.chosen.facets == ["bee", "Grad-CAM"]
    assert shown.chosen.badge == ""


def test_a_click_on_an_answer_of_a_network_without_poolings_shows_that_class(flat, put, open_page):
    put(flat)
    page = open_page(EXPLORE, pooling="gmp")
    third = boards(page)["answers"].all("answer")[2]
    page = pick(page, "answers", third.pick)
    assert not page.exception
    assert page.query_params["class"] == str(third.pick[1])
    assert page.query_params["pooling"] == "gmp"
    other = list(viewers(page)["evidence"].maps.values())[1]
    page = use(page, "evidence", "pick", other.pick)
    assert page.query_params["class"] == other.id.partition(".")[0] != str(third.pick[1])


def test_explore_shows_the_channels_that_respond_most_by_their_means(flat, put, open_page):
    put(flat)
    maps = maps_of(flat)
    tiles = boards(open_page(EXPLORE))["answers"].all("tile")
    assert [tile.pick for tile in tiles] == [["channel", int(k)] for k in np.argsort(-maps.mean((1, 2)))]
    first = int(np.argmax(maps.mean((1, 2))))
    assert tiles[0].text.endswith(f"spread {plain(maps[first].std())}{plain(maps[first].mean())}")


def test_the_wall_of_a_network_without_a_pooling_is_ranked_by_the_maps_alone(flat, put, open_page):
    put(flat)
    maps = maps_of(flat)
    page = open_page(CHANNELS, rank="contribution", show="paying")
    assert not page.exception
    assert boards(page)["headline"].one("h1").text == "5 channels of 4 × 4 positions: the final feature maps."
    assert list(control(page, "rank").options) == ["Mean", "Spread", "Sparsity", "Number"]
    wall = components(page, "wall")["wall"]
    assert wall["order"] == np.argsort(-maps.mean((1, 2)), kind="stable").tolist()
    np.testing.assert_allclose(wall["numbers"], maps.mean((1, 2)), atol=1e-4)
    assert (wall["contributes"], wall["caption"]) == (False, "mean %")
    assert flat.no_evidence_reason in boards(page)["why_not_ranked"].text
    assert not figures(page)
    spread = components(open_page(CHANNELS, rank="spread"), "wall")["wall"]
    assert spread["order"] == np.argsort(-maps.std((1, 2)), kind="stable").tolist()


def test_the_card_of_a_channel_without_contributions_has_no_weights(flat, put, open_page):
    put(flat)
    maps = maps_of(flat)
    page = open_page(CHANNELS, channel="3")
    card = boards(page)["card"]
    assert card.one("h3").text == "Channel 3"
    assert card.texts("p") == [f"Its mean over positions is {plain(maps[3].mean())}."]
    assert "logits" not in card.text
    assert not card.all("ul")
    shown = viewers(page)["channel_map"].chosen
    assert shown.lines == [f"mean {plain(maps[3].mean())}"]
    np.testing.assert_allclose(shown.values, maps[3], atol=1e-5 + shown.step)


def test_the_page_on_poolings_says_why_it_has_none_and_where_to_go_and_shows_no_empty_box(flat, put, open_page):
    put(flat)
    page = open_page(POOLS)
    assert not page.exception
    head = boards(page)["headline"]
    assert head.one("h1").text == "There are no poolings to compare here."
    assert head.texts("p")[0] == flat.no_evidence_reason
    assert {"Open Feature maps", "Open Activation maps"} <= {item.proto.label for item in page.get("page_link")}
    assert not viewers(page)
    assert not figures(page)
    assert not components(page, "slider")
    assert not page.multiselect


def test_evidence_and_votes_are_greyed_out_and_a_sentence_says_why(flat, put, open_page):
    put(flat)
    page = open_page(MAPS, maps="votes")
    assert not page.exception
    buttons = {button.text: button for button in boards(page)["limited_maps"].all("button")}
    assert list(buttons) == ["Evidence", "CAM methods", "Votes"]
    assert [name for name, button in buttons.items() if "disabled" in button.attributes] == ["Evidence", "Votes"]
    assert buttons["Evidence"].pick is None
    assert buttons["CAM methods"].attributes["aria-pressed"] == "true"
    assert flat.no_evidence_reason in boards(page)["limited_maps"].text


def test_the_cam_methods_of_a_network_without_a_pooling_are_those_by_gradients(flat, put, open_page):
    put(flat)
    page = open_page(MAPS)
    grid = viewers(page)["grid"]
    best = int(np.argmax(logits_of(flat)))
    assert [shown.title for shown in grid.maps.values()][:3] == ["Grad-CAM", "HiResCAM", "Layer-CAM"]
    hires = (flat_weights(flat)[0][best] * maps_of(flat)).sum(0)
    shown = grid.maps[f"{best}.hires-cam"]
    np.testing.assert_allclose(shown.values, hires / np.abs(hires).max(), atol=1e-5 + shown.step)
    options = page.multiselect[0].options
    assert "CAM" not in options
    assert "Ablation-CAM" not in options
    assert len(options) == 8
    page = open_page(MAPS, methods="cam,grad_cam_plus_plus")
    assert {shown.title for shown in viewers(page)["grid"].maps.values()} == {"Grad-CAM++"}


def test_every_method_that_is_offered_can_be_had(flat, put, open_page):
    put(flat)
    keys = ["grad_cam", "grad_cam_plus_plus", "xgrad_cam", "hires_cam", "layer_cam", "eigen_cam", "finer_cam"]
    for some in (keys[:4], keys[4:]):
        page = open_page(MAPS, methods=",".join(some), classes="0")
        assert not page.exception
        for shown in viewers(page)["grid"].maps.values():
            assert shown.kind == "signed", shown.name
            assert np.isfinite(shown.values).all()


def test_score_cam_of_a_network_without_a_pooling_is_computed_meanwhile(flat, put, open_page):
    put(flat)
    page = open_page(MAPS, methods="score_cam", classes="0", **{"class": "0"})
    deadline = time.monotonic() + 30
    while viewers(page)["grid"].maps["0.score-cam"].kind != "signed":
        assert time.monotonic() < deadline
        page.run()
    shown = viewers(page)["grid"].maps["0.score-cam"]
    maps = torch.tensor(maps_of(flat), dtype=torch.float32)[:, None]
    masks = nn.functional.interpolate(maps, flat.input.shape[-2:], mode="bilinear", align_corners=False)
    low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
    masks = ((masks - low) / (high - low)).nan_to_num(0)  # a silent channel has nothing to show
    with torch.no_grad():
        logits = flat.network.layers.model(flat.input * masks)[:, 0]
    expected = (torch.softmax(logits, 0)[:, None, None] * maps[:, 0]).sum(0).numpy()
    np.testing.assert_allclose(shown.values, expected / np.abs(expected).max(), atol=1e-4)


def test_everything_can_be_downloaded_of_a_network_without_a_pooling(flat, put, open_page, files):
    put(flat)
    for path in (EXPLORE, MAPS):
        assert not open_page(path).exception
        assert len(files) == 5
        for name, make in files.items():
            assert len(make()) > 1000, name
        files.clear()


def test_a_place_on_a_network_without_a_pooling_has_a_share_of_the_largest(flat, put, open_page):
    put(flat)
    page = open_page(EXPLORE, region="1,2,1,2", **{"class": "0"})
    assert boards(page)["place"].texts("p")[0] == (
        f"Grad-CAM of ant: {signed(grad_cam(flat, 0)[1, 2])} of its own largest, on average; it has no unit.")


@pytest.mark.parametrize("path", [EXPLORE, CHANNELS, MAPS])
def test_a_talk_about_a_network_without_a_pooling_has_a_sentence_for_each_map(path, flat, put, open_page):
    put(flat)
    page = open_page(path, present="1")
    assert not page.exception
    steps = list(viewers(page)["stage"].maps.values())
    assert len(steps) >= 4
    assert all(is_plain_sentence(step.says) for step in steps[1:])


# Another layer than the last.


def test_at_another_layer_there_are_gradients_and_the_caption_names_the_layer(put, open_page, examples):
    network = network_of(nn.Sequential(nn.Conv2d(3, 6, 12, stride=12), nn.ReLU(), nn.Conv2d(6, 5, 2, stride=2),
                                       nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)).eval())
    early = next(layer for layer in network.layers.all if layer.shape == (6, 8, 8))
    put(seen(network, examples["cat"], early.key))
    for path in PAGES:
        page = open_page(path)
        assert not page.exception, path
        assert notices(page) == [], path
    page = open_page(EXPLORE)
    assert f"maps of {early.key}, 6 × 8 × 8" in viewers(page)["evidence"].chosen.caption
    assert viewers(page)["evidence"]["grid"] == {"rows": 8, "columns": 8}
    assert "final feature maps" in boards(open_page(POOLS))["headline"].texts("p")[1]


# A class token.


def test_a_class_tokens_attention_is_shown_on_average_and_head_by_head(first_block, put, open_page):
    put(first_block)
    page = open_page(MAPS)
    assert [button.text for button in boards(page)["limited_maps"].all("button")] == [
        "Evidence", "CAM methods", "Votes", "Class token's attention"]
    page = pick(page, "limited_maps", "attention")
    assert not page.exception
    expected = attention_by_hand(first_block.network.layers.model, first_block.input)
    grid = viewers(page)["grid"]
    assert list(grid.maps) == ["token.mean", "token.0", "token.1"]
    for shown, values in zip(grid.maps.values(), (expected.mean(0), *expected), strict=True):
        np.testing.assert_allclose(shown.values, values, atol=1e-5 + shown.step)
        assert shown.values.sum() < 1
        assert shown.lines[0] == f"{percent(values.sum())} on the photo"
        assert (shown.kind, shown.scale) == ("positive", "attention")
    note = boards(page)["attention_note"].text
    assert note.startswith("A pooling by attention")
    assert f"{percent(expected.mean(0).sum())} of them lie on the photo, the rest on the class token itself" in note
    assert "classes" not in boards(page), "attention knows no class"
    assert boards(page)["headline"].one("h1").text == "Where the class token looks"


def test_every_page_shows_a_transformer(transformer, first_block, put, open_page):
    for analysis in (transformer, first_block):
        put(analysis)
        for path in PAGES:
            page = open_page(path)
            assert not page.exception, path
            assert notices(page) == [], path


def test_the_evidence_of_a_transformer_says_what_the_patches_wrote_directly(transformer, put, open_page):
    put(transformer)
    lines = viewers(open_page(EXPLORE))["evidence"].chosen.lines
    evidence = transformer.under().evidence(transformer.under().top(1)[0].class_index)
    share = f"{float(evidence.cells.sum()) / evidence.logit:.0%}".replace("-", "−")
    assert any("directly into the class token" in line and share in line for line in lines)


# Sigmoids.


def by_sigmoids(make_network, biases: list[float], names: tuple[str, ...]):
    network = make_network(linear([[0.0]] * len(biases), biases), len(biases), channels=1)
    return analysis_of(dataclasses.replace(network, activation="sigmoid", class_names=names), torch.ones(1, 2, 2))


@pytest.mark.parametrize(("biases", "present"), [
    ([0.9, 2.6, -1.0], "BA"), ([5.0, 4.0, 3.0, 2.0, 1.0, 0.5], "ABCD"), ([-2.6], "A")])
def test_the_classes_of_a_multi_label_network_do_not_compete(biases, present, make_network, put, open_page):
    put(by_sigmoids(make_network, biases, tuple("ABCDEF"[:len(biases)])))
    for path in PAGES:
        assert not open_page(path).exception, path
    head = boards(open_page(EXPLORE))["headline"]
    assert "".join(head.texts("says")) == present
    assert "Runner-up" not in head.text


def test_the_headline_on_poolings_names_those_with_other_classes_of_a_multi_label_network(
    make_network, put, open_page
):
    network = make_network(linear([[1.0], [0.0]], [-1.0, 1.0]), 2, channels=1)
    maps = torch.tensor([[[4.0, 0.0], [0.0, -2.0]]])  # average 0.5, maximum 4
    put(analysis_of(dataclasses.replace(network, activation="sigmoid"), maps))
    head = boards(open_page(POOLS, poolings="gap,gmp"))["headline"]
    assert head.one("says").text == "class 1"
    assert head.one("h1").text.startswith("Under GAP, ")
    assert head.texts("p")[0].startswith("Under GMP ")


def test_a_talk_has_the_probability_of_each_class_of_a_multi_label_network(make_network, put, open_page):
    put(by_sigmoids(make_network, [0.9, 2.6, -1.0], ("A", "B", "C")))
    sentences = [shown.says for shown in viewers(open_page(EXPLORE, present="1"))["stage"].maps.values()][1:4]
    for sentence, (name, share) in zip(sentences, (("B", 0.93), ("A", 0.71), ("C", 0.27)), strict=True):
        assert sentence == f"{class_answer(name, share, 1, 'sigmoid')}."


WORDS_OF_A_CLASSIFIER = ("logit", "probabilit", "probable")


@pytest.mark.parametrize("names", [["age"], ["age", "height", "weight"]])
@pytest.mark.parametrize(("path", "link"), [
    (EXPLORE, {}), (CHANNELS, {}), (POOLS, {}), (MAPS, {"maps": "votes"}), (METHOD, {}),
    *((WHY, {"ask": ask}) for ask in ("against", "without", "flip", "stable", "finer", "trust")),
])
def test_of_a_regression_no_number_is_called_a_logit_or_a_probability(path, link, names, put, open_page, examples):
    model = seeded(lambda: nn.Sequential(nn.Conv2d(3, 6, 16, 16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                                         nn.Linear(6, len(names))))
    put(seen(network_of(model, class_names=names, activation="none"), examples["cat"]))
    page = open_page(path, **link)
    for _ in range(300):
        if not any(button.label == "Stop" for button in page.button):
            break
        time.sleep(0.2)
        page.run()
    assert not page.exception
    texts = [board.text for board in boards(page).values()]
    texts += [str({name: value for name, value in shown.fields.items() if name != "unit"})  # how a number is written
              for viewer in viewers(page).values() for shown in viewer.maps.values()]
    texts += [f"{viewer.data.get('heading', '')}{viewer.data.get('caption', '')}" for viewer in viewers(page).values()]
    texts += [str(figure) for figure in figures(page).values()]
    texts += [element.value for kind in ("markdown", "latex") for element in page.get(kind)]
    texts = [text for text in texts if "Apache" not in text]  # Method's licences
    assert not [text for text in texts if any(word in text.lower() for word in WORDS_OF_A_CLASSIFIER)]


def test_a_network_of_one_class_has_no_rivals(put, open_page, examples):
    put(seen(network_of(seeded(Pooled, 5, 1)), examples["cat"]))
    page = open_page(MAPS, maps="cams", methods="finer_cam,grad_cam")
    assert not page.exception
    finer, grad = viewers(page)["grid"].maps.values()
    assert finer.lines == ["Finer-CAM compares a class with others, and this network has only one."]
    assert grad.kind == "signed"


# A special native pooling, and networks that nothing was fitted for.


def test_a_special_native_pooling_comes_first_and_its_evidence_adds_up(make_network, put, open_page):
    rows, biases = [[1.0, -1.0, 0.5, 2.0], [0.0, 1.0, 1.0, 0.0]], [0.25, 0.0]
    network = dataclasses.replace(make_network(linear(rows, biases), 2, channels=4), pooling=CATAVGMAX)
    half = torch.rand(2, 3, 3, generator=torch.Generator().manual_seed(5))
    put(analysis_of(network, torch.cat([half, half])))
    for path in PAGES:
        page = open_page(path)
        assert not page.exception, path
        assert notices(page) == [], path
    page = open_page(EXPLORE, **{"class": "0"})
    first = boards(page)["answers"].all("column")[0]
    assert (first.one("h3").text, first.one("badge").text) == ("GAP beside GMP", "native")
    maps = half.double().numpy()
    vector = np.concatenate([maps.mean((1, 2)), maps.max((1, 2))])
    shown = viewers(page)["evidence"].maps["0.catavgmax"]
    assert shown.values.sum() + biases[0] == pytest.approx(np.dot(rows[0], vector) + biases[0], abs=1e-4)
    assert [item.one("h3").text for item in map(boards(open_page(POOLS)).get, ("head_0", "head_1"))] == [
        "GAP beside GMP", "GMP"]
    assert "method_catavgmax" in boards(open_page(METHOD))


def test_a_what_if_without_a_fitted_number_has_a_note(make_network, put, open_page):
    put(analysis_of(make_network(channels=5), torch.rand(5, 3, 3)))
    for calibrated in "01":
        note = boards(open_page(EXPLORE, calibrated=calibrated))["answers"].one("note").text
        assert note.endswith("no number was fitted for this network.")


@pytest.mark.parametrize(("left", "kind"), [(0.015, "exact"), (1.0, "not exact")])
def test_the_network_and_its_map_are_alike_exact_where_logits_of_40_000_are_rounded(
    left, kind, make_network, put, open_page
):
    torch.manual_seed(0)
    head = torch.nn.Linear(64, 4)
    head.weight.data.abs_()
    analysis = analysis_of(make_network(head, channels=64), 20_000 * torch.rand(64, 5, 5))
    outcome = analysis.under()
    assert 30_000 < float(outcome.logits.max()) < 60_000
    outcome.logits[:] += left  # as a head in single precision may round, and as none does
    assert left - 0.01 < outcome.evidence(outcome.top(1)[0].class_index).residual < left + 0.01
    put(analysis)
    page = open_page(EXPLORE)
    assert boards(page)["examples"].one("card").one("badge").text == kind
    assert viewers(page)["evidence"].chosen.badge.startswith(f"{kind}, ")


def test_the_native_pooling_comes_first_where_it_is_none_of_the_usual_ones(make_network, put, open_page):
    put(analysis_of(make_network(channels=5, pooling="gem", p=4.0), torch.rand(5, 3, 3)))
    for path in (POOLS, MAPS):
        page = open_page(path)
        assert page.query_params["poolings"] == "gem:p=4,gmp,attention"
    assert boards(open_page(POOLS))["head_0"].text == "GeM, p = 4native"


def test_poolings_of_a_link_that_the_network_does_not_have_are_cleared(make_network, put, open_page):
    put(analysis_of(make_network(channels=5), torch.rand(5, 3, 3)))
    for path in (EXPLORE, CHANNELS, POOLS, MAPS):
        page = open_page(path, pooling="catavgmax", poolings="catavgmax,attention_pool")
        assert not page.exception, path
        assert page.query_params["pooling"] == "gap"


# Names and sizes.

HOSTILE = "<script>alert(1)</script>&amp; **b** " + "x" * 200


def test_names_of_any_length_and_kind_are_text_and_are_cut_in_sentences(flat, put, open_page):
    names = (HOSTILE, "y" * 200, "<b>", "")
    put(seen(dataclasses.replace(flat.network, class_names=names, title=HOSTILE), flat.image))
    for path in PAGES:
        page = open_page(path)
        assert not page.exception, path
        assert len(boards(page).get("headline", boards(page).get("method_title")).text) < 700
    page = open_page(EXPLORE, **{"class": "0"})
    assert boards(page)["answers"].all("name")
    assert HOSTILE in {name.attributes["title"] for name in boards(page)["answers"].all("name")}
    assert html.escape(HOSTILE) not in boards(page)["answers"].text


@pytest.mark.parametrize(("channels", "classes", "stride"), [
    (16, 1, 24), (4096, 2, 24), (8, 3, 3), (3, 10_000, 24)])
def test_networks_of_extreme_sizes_are_shown(channels, classes, stride, put, open_page, examples):
    network = network_of(seeded(Pooled, channels, classes, stride=stride), activation="softmax")
    analysis = seen(network, examples["coffee"])
    put(analysis)
    maps = maps_of(analysis)
    assert maps.shape == (channels, 96 // stride, 96 // stride)
    for path in PAGES:
        page = open_page(path)
        assert not page.exception, path
        assert notices(page) == [], path
    fc = network.layers.model.fc
    logits = fc.weight.detach().double().numpy() @ maps.mean((1, 2)) + fc.bias.detach().double().numpy()
    best = int(logits.argmax())
    shown = viewers(open_page(EXPLORE))["evidence"].chosen
    assert shown.id == f"{best}.gap"
    assert shown.values.sum() + float(fc.bias[best]) == pytest.approx(logits[best], abs=1e-3)
    votes = viewers(open_page(MAPS, maps="votes"))["grid"]
    assert f"{best}.votes" in votes.maps


def test_a_network_of_grey_photos_is_shown(put, open_page, examples):
    put(seen(network_of(seeded(Pooled, 5, 3, of=1), grey=True), examples["coffee"]))
    for path in PAGES:
        page = open_page(path)
        assert not page.exception, path
        assert notices(page) == [], path


def test_tiles_of_very_many_positions_are_averages_and_the_wall_says_so(make_network, put, open_page, monkeypatch):
    monkeypatch.setattr("explorer.ui.components.wall.MOST_NUMBERS", 5 * 9 * 9)
    maps = torch.rand(5, 25, 25)
    put(analysis_of(make_network(channels=5), maps))
    page = open_page(CHANNELS)
    assert components(page, "wall")["wall"]["status"] == "5 of 5 channels; tiles average 3 × 3 positions"
    assert components(page, "source")["pack"]["pack"]["shape"] == [5, 9, 9]
    assert viewers(page)["channel_map"].chosen.values.shape == (25, 25)
