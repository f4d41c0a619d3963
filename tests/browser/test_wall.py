"""The wall of channels: 2048 of 14 x 14 positions, made up (apps/cases.py), of which each has its own picture."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.apps.cases import CHANNELS, HOSTILE, ORDERS, SIDE, contributions
from tests.browser.painting import BLUES, colour, painted
from tests.browser.tiles import Wall

MOST = 2 - 1 / CHANNELS  # the largest activation of all
TOLERANCE = 3


def picture_of(channel: int, limit: float = MOST) -> np.ndarray:
    """(14, 14, 3): nothing anywhere but at one position."""
    picture = np.broadcast_to(colour(BLUES, 0), (SIDE, SIDE, 3)).copy()
    place = channel % SIDE**2
    picture[place // SIDE, place % SIDE] = colour(BLUES, (1 + channel / CHANNELS) / limit)
    return picture


@pytest.fixture
def wall(bench) -> Wall:
    return Wall(bench("wall").visit, ORDERS["falling"])


def test_every_tile_in_sight_is_its_channel_and_so_it_is_when_the_wall_is_scrolled(wall):
    rows = -(-CHANNELS // wall.across)
    assert wall.scroller.evaluate("(element) => element.scrollHeight") == pytest.approx(rows * wall.step, abs=2)
    tall = wall.scroller.evaluate("(element) => element.clientHeight")
    shown = set()
    for to in (0, 40 * wall.step + 7, (rows + 5) * wall.step):
        wall.scroll(to)
        pixels, scrolled = wall.pixels(), wall.scrolled
        for n in range(CHANNELS):
            top = wall.corner(n, scrolled)[1]
            if top >= 0 and top + wall.wide < tall and wall.order[n] != 2040:
                np.testing.assert_allclose(wall.picture(n, pixels, scrolled), picture_of(wall.order[n]), atol=TOLERANCE,
                                           err_msg=f"channel {wall.order[n]} at {n}")
                shown.add(n)
    assert {0, CHANNELS - 1} <= shown, "the first and the last"
    assert len(shown) > 3 * 40
    assert wall.root.locator("canvas").count() == 1, "one canvas, however many channels there are"


def test_the_tile_under_the_pointer_is_named_without_the_server(wall):
    with wall.visit.without_a_frame():
        assert wall.status == f"{CHANNELS} channels"
        for n in (0, 3 * wall.across + 2, wall.across - 1):
            channel = wall.order[n]
            wall.point(n)
            number = f"{contributions()[channel]:+.2f}".replace("-", "−")
            assert wall.status == f"Channel {channel}: {number} logits for {HOSTILE}"
        wall.visit.page.mouse.move(2, 2)
        assert wall.status == f"{CHANNELS} channels"


def test_a_channel_pointed_at_is_laid_over_the_photo_on_the_walls_scale(bench):
    view = bench("wall")
    wall = Wall(view.visit, ORDERS["falling"])
    ground = view.patches()
    with view.visit.without_a_frame():
        for n in (0, 500):
            channel, place = wall.order[n], divmod(int(wall.order[n]) % SIDE**2, SIDE)
            wall.scroll(n // wall.across * wall.step)
            wall.point(n)
            expect(view.find(".title h3")).to_have_text(f"Channel {channel}")
            patches = view.patches()
            value = 1 + channel / CHANNELS
            np.testing.assert_allclose(
                patches[place], painted(ground[place], value, MOST, kind="positive"), atol=TOLERANCE)
            patches[place] = ground[place]
            np.testing.assert_allclose(patches, ground, atol=TOLERANCE, err_msg="and nothing beside it")
        view.leave()
        np.testing.assert_allclose(view.patches(), ground, atol=TOLERANCE)


def test_each_channel_on_a_scale_of_its_own_reaches_the_darkest_blue(wall):
    button = wall.root.get_by_role("button", name="Shared scale")
    expect(button).to_have_attribute("aria-pressed", "true")
    last = CHANNELS - 1 - 30
    n = int(np.flatnonzero(wall.order == last)[0])
    with wall.visit.without_a_frame():
        button.click()
        expect(button).to_have_attribute("aria-pressed", "false")
        np.testing.assert_allclose(wall.picture(n), picture_of(last, limit=1 + last / CHANNELS), atol=TOLERANCE)
        button.click()
        np.testing.assert_allclose(wall.picture(n), picture_of(last), atol=TOLERANCE)


def test_a_click_sends_python_the_channel_which_is_outlined_then_and_the_wall_stays_where_it_is(wall):
    wall.scroll(20 * wall.step)
    n = 22 * wall.across + 1
    wall.click(n)
    expect(wall.visit.page.get_by_test_id("stText")).to_have_text(f'[["channel", {wall.order[n]}]]')
    assert wall.scrolled == pytest.approx(20 * wall.step, abs=1)

    def edge() -> bool:
        left, top = wall.corner(n)
        return bool(np.abs(wall.pixels()[int(top) + 1, int(left) + 5 : int(left) + 20] - [178, 24, 43]).max() < 8)

    wall.visit.eventually(edge, True)


def test_the_gaps_between_tiles_and_the_end_of_the_wall_are_no_channels(bench):
    view = bench("wall", order="few")
    wall = Wall(view.visit, ORDERS["few"])
    with wall.visit.without_a_frame():
        for n in (3, 4, wall.across + 1):
            wall.click(n)
            assert wall.status == "3 channels"
        wall.point(2)
        assert wall.status.startswith("Channel 2000: ")


def test_a_wall_without_channels_says_so(bench):
    wall = Wall(bench("wall", order="none").visit, ORDERS["none"])
    wall.scroller.focus()
    wall.scroller.press("ArrowRight")
    wall.scroller.press("Enter")
    wall.point(0)
    assert wall.status == "0 channels"


def test_the_wall_is_walked_by_keyboard_and_the_walk_goes_on_after_a_channel_was_chosen(wall):
    wall.scroller.focus()
    keys = wall.visit.page.keyboard
    n = None
    for key, step in (("ArrowRight", 1), ("ArrowRight", 1), ("ArrowDown", wall.across), ("ArrowLeft", -1),
                      *[("ArrowDown", wall.across)] * 15, ("ArrowUp", -wall.across)):
        n = 0 if n is None else n + step
        keys.press(key)
        assert wall.status.startswith(f"Channel {wall.order[n]}: ")
        top = wall.corner(n)[1]
        assert top + 1 >= 0, "in sight"
        assert top + wall.wide <= wall.scroller.evaluate("(element) => element.clientHeight") + 1
    expect(wall.root.locator("[aria-live=polite]")).to_contain_text(f"Channel {wall.order[n]}")
    expect(wall.canvas).to_have_attribute("aria-label", wall.status)
    assert wall.scroller.evaluate("(element) => getComputedStyle(element).outlineStyle") == "solid"
    keys.press("Enter")
    expect(wall.visit.page.get_by_test_id("stText")).to_have_text(f'[["channel", {wall.order[n]}]]')
    keys.press("ArrowRight")
    wall.visit.eventually(lambda: wall.status.partition(":")[0], f"Channel {wall.order[n + 1]}")


def test_the_walls_names_stay_text(wall):
    wall.point(0)
    assert HOSTILE in wall.status
    assert wall.visit.find("img[src=x], [onerror]").count() == 0
