"""Feature maps as a person uses it: the wall, the card, one channel beside another, orders and kinds."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from explorer import analyse
from explorer.wording import percent, plain, signed
from tests.browser.painting import painted
from tests.browser.tiles import Wall
from tests.browser.uploads import encode

TOLERANCE = 8  # of 255: the photo comes as a JPEG


class Channels:
    """What each channel does for the astronaut's answer, worked out from the network's own parts."""

    def __init__(self, network, photo, pooling: str = "gap", class_index: int | None = None) -> None:
        self.analysis = analyse(network, photo)
        self.maps = self.analysis.feature_maps.double().numpy()
        linear = [module for module in network.head.modules() if hasattr(module, "weight")][-1]
        self.class_index = self.analysis.under().top(1)[0].class_index if class_index is None else class_index
        self.name = network.class_names[self.class_index]
        self.weights = linear.weight.detach().double().numpy()
        self.pooled = self.maps.mean((1, 2)) if pooling == "gap" else self.maps.max((1, 2))
        self.paid = self.weights[self.class_index] * self.pooled
        self.silent = (self.maps == 0).all((1, 2))
        self.most = self.maps.max()

    def order(self, values: np.ndarray, chosen: np.ndarray | None = None) -> np.ndarray:
        order = np.argsort(-values, kind="stable")
        return order if chosen is None else order[chosen[order]]


@pytest.fixture(scope="module")
def known(network, examples) -> Channels:
    return Channels(network, examples["astronaut"])


@pytest.fixture
def here(visit, known):
    opened = visit().go("/Feature_maps")
    opened.viewer(known.analysis, "channel_map").wait_for_photo()
    return opened


def wall_of(visit, order: np.ndarray) -> Wall:
    return Wall(visit, order, side=7)


def type_number(visit, label: str, number: int | str) -> None:
    field = visit.page.get_by_role("spinbutton", name=label, exact=True)
    field.fill(str(number))
    field.press("Enter")


def test_the_headline_counts_the_channels_that_hold_the_positive_evidence(here, known):
    positive = np.sort(known.paid[(known.paid > 0) & ~known.silent])[::-1]
    share = np.cumsum(positive) / positive.sum()
    count = int(np.argmax(share >= 0.8)) + 1
    expect(here.find(".headline h1")).to_contain_text(f"{count} of 1,280 channels hold {percent(share[count - 1])} of ")
    expect(here.find(".headline .lead")).to_contain_text(f"{len(positive):,} channels are positive")
    expect(here.page).to_have_title("Feature maps · PoolScope")
    assert "channel" not in here.link


def test_the_first_tiles_are_the_top_contributing_channels_each_with_its_own_map(here, known):
    wall = wall_of(here, known.order(known.paid))
    pixels = wall.pixels()
    for n in range(3 * wall.across):
        channel = wall.order[n]
        shown, low = wall.picture(n, pixels, 0)[..., 0], known.maps[channel]
        # Of the colour map alone: the more, the darker; the outer ring may have an outline over it.
        darkest = np.unravel_index(shown[1:-1, 1:-1].argmin(), (5, 5))
        assert low[1:-1, 1:-1][darkest] >= 0.97 * low[1:-1, 1:-1].max(), f"channel {channel}"
        if not low[1:-1, 1:-1].any():
            assert np.ptp(shown[1:-1, 1:-1]) == 0


def test_a_tile_pointed_at_is_laid_over_the_photo_and_a_click_opens_its_card(here, known, examples):
    wall, view = wall_of(here, known.order(known.paid)), here.viewer(known.analysis, "channel_map")
    n = wall.across + 3
    channel = int(wall.order[n])
    with here.without_a_frame():
        wall.point(n)
        assert wall.status == f"Channel {channel}: {signed(known.paid[channel])} logits for {known.name}"
        expect(view.find(".title h3")).to_have_text(f"Channel {channel}")
        cells = known.maps[channel]
        grounds = view.grounds(examples["astronaut"])
        np.testing.assert_allclose(view.patches(), [
            [painted(grounds[i, j], cells[i, j], known.most, kind="positive") for j in range(7)] for i in range(7)
        ], atol=TOLERANCE)
    wall.click(n)
    here.leads_to(channel=str(channel))
    card = here.find(".channelCard")
    expect(card.locator("h3")).to_have_text(f"Channel {channel}")
    rank = 1 + int((known.paid > known.paid[channel]).sum())
    expect(card.locator(".badge")).to_have_text(f"rank {rank} of 1,280")
    expect(card).to_contain_text(f"{signed(known.paid[channel])} logits for {known.name}")
    under = dict(zip(card.locator("dt").all_text_contents(), card.locator("dd").all_text_contents(), strict=True))
    assert under["GAP"] == plain(known.pooled[channel])
    assert under["GMP"] == plain(known.maps[channel].max())
    assert len(under) == 8
    best = known.order(known.weights[:, channel])[:5]
    assert card.locator("ul").first.locator("button").all_text_contents() == [
        known.analysis.network.class_names[index] for index in best]
    zero = percent(float((known.maps[channel] == 0).mean()))
    expect(card).to_contain_text(f"49 positions, from {plain(known.maps[channel].min())} to "
                                 f"{plain(known.maps[channel].max())}; {zero} are 0")
    view.leave()
    expect(view.find(".title h3")).to_have_text(f"Channel {channel}")


def test_a_class_on_the_card_is_shown_by_a_click(here, known, network):
    first = here.find(".channelCard ul").first.locator("button").first
    name = first.text_content()
    first.click()
    here.leads_to(**{"class": str(network.class_names.index(name))})
    expect(here.find(".headline h1")).to_contain_text(name)
    expect(here.find(".channelCard")).to_contain_text(f"logits for {name}")


def test_a_channel_is_found_by_its_number_and_another_laid_beside_it(here, known):
    type_number(here, "Channel", 22)
    here.leads_to(channel="22")
    view = here.viewer(known.analysis, "channel_map")
    expect(view.find(".title h3")).to_have_text("Channel 22")
    type_number(here, "Compare with channel", 495)
    here.leads_to(channel="22", beside="495")
    expect(view.find(".paneHead .name")).to_have_text(["Channel 22", "Channel 495"])
    expect(here.find(".channelCard h3")).to_have_text(["Channel 22", "Channel 495"])
    view.wait_for_photo()
    for i, j in ((6, 4), (1, 2)):
        view.hover(i, j)
        assert view.find(".value").all_text_contents() == [plain(known.maps[item][i, j]) for item in (22, 495)]
        view.is_outlined(i, j, pane=1)
    other = here
    link = here.link
    other.go("/Feature_maps", **link)
    expect(other.find(".channelCard h3")).to_have_text(["Channel 22", "Channel 495"])
    assert other.link == link
    type_number(here, "Compare with channel", "")
    here.leads_to(beside=None)
    expect(here.find(".channelCard")).to_have_count(1)


def test_channels_are_ranked_and_filtered_and_the_link_says_how(here, known):
    spread, opposing = known.maps.std((1, 2)), (known.paid < 0) & ~known.silent
    here.choose("Ranked by", "Spread")
    here.leads_to(rank="spread")
    wall = wall_of(here, known.order(np.round(spread, 12)))
    expect(wall.root.locator(".status")).to_have_text("1,280 of 1,280 channels")
    here.settle(wall.canvas)
    wall.point(0)
    assert wall.status.startswith(f"Channel {np.argmax(spread)}: ")
    here.page.get_by_role("radio", name="Negative").click()
    here.leads_to(rank="spread", show="opposing")
    expect(wall.root.locator(".status")).to_have_text(f"{opposing.sum()} of 1,280 channels")
    here.choose("Ranked by", "Contribution")
    here.leads_to(rank=None, show="opposing")
    here.settle(wall.canvas)
    wall = wall_of(here, known.order(known.paid, opposing))
    for n in (0, wall.across):
        wall.point(n)
        here.eventually(lambda n=n: wall.status.partition(":")[0], f"Channel {wall.order[n]}")
    link = here.link
    here.go("/Feature_maps", **link)
    expect(wall.root.locator(".status")).to_have_text(f"{opposing.sum()} of 1,280 channels")


def test_one_lock_lets_go_of_the_scale_of_wall_and_viewer_alike(here, known):
    order = known.order(known.paid)
    n = next(n for n in range(60) if known.maps[order[n]].max() < 0.7 * known.most)
    wall, view = wall_of(here, order), here.viewer(known.analysis, "channel_map")
    wall.point(n)
    assert view.ends[:2] == ["0", plain(known.most)]
    before = wall.picture(n)
    wall.root.get_by_role("button", name="Shared scale").click()
    wall.point(n)
    assert view.ends[:2] == ["0", plain(known.maps[order[n]].max())]
    assert wall.picture(n)[1:-1, 1:-1].min() < before[1:-1, 1:-1].min() - 10, "its strongest position is darker"
    here.leads_to(view="u1")


def test_another_pooling_changes_the_contributions(here, network, examples):
    here.choose("Pooling", "GMP")
    here.leads_to(pooling="gmp")
    under = Channels(network, examples["astronaut"], "gmp")
    wall = wall_of(here, under.order(under.paid))
    expect(here.find(".headline .lead")).to_contain_text("Under GMP, ")
    here.settle(wall.canvas)
    wall.point(1)
    channel = wall.order[1]
    here.eventually(lambda: wall.status,
                    f"Channel {channel}: {signed(under.paid[channel])} logits for {under.name}")


def test_the_running_sum_goes_from_the_baseline_to_the_logit(here, known):
    texts = here.find(".st-key-running .textpoint text")
    expect(texts).to_have_count(3)
    result = known.analysis.under().evidence(known.class_index)
    stated = " ".join(texts.all_text_contents())
    assert f"baseline {plain(result.baseline)}" in stated
    assert f"logit {plain(result.logit)}" in stated


def test_another_photo_changes_the_wall_and_the_map_on_the_photo(here, network, examples):
    photo = examples["cat"].rotate(180)
    here.upload("cat.png", encode(photo))
    other = Channels(network, photo)
    here.leads_to(**{"class": str(other.class_index)})
    expect(here.find(".headline h1")).to_contain_text(other.name)
    view = here.viewer(other.analysis, "channel_map").wait_for_photo()
    wall = wall_of(here, other.order(other.paid))
    here.settle(wall.canvas)
    wall.point(0)
    channel = wall.order[0]
    here.eventually(lambda: wall.status.partition(":")[0], f"Channel {channel}")
    cells = other.maps[channel]
    strongest = np.unravel_index(cells.argmax(), cells.shape)
    grounds = view.grounds(photo)
    np.testing.assert_allclose(
        view.patches()[strongest], painted(grounds[strongest], cells[strongest], other.most, kind="positive"),
        atol=2 * TOLERANCE)


def test_a_channel_that_does_not_exist_is_one_sentence_and_a_page_that_works(visit):
    here = visit().go("/Feature_maps", channel="5000", beside="9999", rank="colour", show="loud")
    here.eventually(lambda: len(here.notices()), 4)
    assert all(re.fullmatch(r"[A-Z].*\.", notice) for notice in here.notices())
    expect(here.find(".channelCard")).to_have_count(1)
    here.eventually(lambda: {"channel", "beside", "rank", "show"} & set(here.link), set())
