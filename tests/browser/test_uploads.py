"""A person's own photo in a browser: good ones, broken ones, and where on them the evidence is drawn."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image, ImageOps
from playwright.sync_api import expect

from explorer import analyse, read_image
from explorer.framing import FRAMINGS
from explorer.wording import percent
from tests.browser.canvas import canvas, drawn, picture, picture_on_screen
from tests.browser.uploads import arrow, broken, encode, grey_with_object

HELMET, TENCH = 560, 0


def headline(outcome) -> str:
    top = outcome.top(1)[0]
    return f"Prediction: {top.name}, {percent(top.probability)}."


def reddest_place(picture: Image.Image, patch: tuple[float, float]) -> tuple[float, float]:
    """(x, y), as shares of width and height, of the middle of the reddest patch of a size, in the same shares."""
    pixels = np.asarray(picture, np.float64)
    red = pixels[..., 0] - pixels[..., 1:].max(-1)
    width, height = (max(1, round(share * length)) for share, length in zip(patch, picture.size, strict=True))
    sums = np.pad(red, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    patches = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    row, column = np.unravel_index(patches.argmax(), patches.shape)
    return (column + width / 2) / picture.width, (row + height / 2) / picture.height


def test_a_photo_with_a_hostile_name_is_analysed_and_its_name_stays_text(visit, network, examples):
    here = visit().go(pooling="gmp")
    photo = examples["cat"].transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    here.upload("<img src=x onerror=alert(1)>.png", encode(photo))
    expect(here.find(".headline h1")).to_have_text(headline(analyse(network, photo).under()))
    expect(here.page.get_by_title("<img src=x onerror=alert(1)>.png")).to_contain_text("<img")
    assert here.find("img[src=x], [onerror]").count() == 0
    assert here.notices() == []
    assert here.link["pooling"] == "gmp"
    assert "example" not in here.link


def test_a_photo_taken_sideways_is_shown_upright(visit, network):
    here = visit().go()
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side: to be turned by 90 degrees clockwise
    data = encode(arrow().transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95)
    analysis = analyse(network, read_image(data))
    here.upload("sideways.jpg", data, "image/jpeg")
    expect(here.find(".headline h1")).to_have_text(headline(analysis.under()))
    here.eventually(lambda: round(picture(here).width / picture(here).height, 2), 1.33)
    here.settle(canvas(here))
    shown = picture(here)
    grey = np.asarray(shown.convert("L"), float)
    corners = [grey[:20, :20].mean(), grey[:20, -20:].mean(), grey[-20:, :20].mean(), grey[-20:, -20:].mean()]
    assert np.argmax(corners) == 0, "the white corner is at the upper left"
    cells = analysis.under().evidence(analysis.under().top(1)[0].class_index).cells
    difference = np.asarray(shown, float) - np.asarray(analysis.overlay(cells).resize(shown.size), float)
    assert np.abs(difference).mean() < 6


def test_broken_files_are_one_sentence_each_and_the_last_good_photo_stays(visit, network, examples):
    here = visit().go()
    good = examples["coffee"].transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    here.upload("good.png", encode(good))
    expect(here.find(".headline h1")).to_have_text(headline(analyse(network, good).under()))
    here.settle(here.find(".answers"))
    link, before = here.link, drawn(here)
    stated = ""
    for kind in ("empty", "text", "cut short", "bomb"):
        here.upload(f"{kind}.png", broken()[kind])
        expect(here.find(".notice p")).to_have_count(1)
        expect(here.find(".notice p")).not_to_have_text(stated)
        here.settle(here.find(".answers"))
        stated = here.notices()[0]
        assert re.fullmatch(r"[A-Z][^\n]+\. The last photo stays\.", stated), (kind, stated)
        assert drawn(here) == before
        assert here.link == link
    here.choose("Pooling", "GMP")
    here.leads_to(pooling="gmp")
    expect(here.find(".notice")).to_have_count(0)
    expect(here.find(".headline h1")).to_have_text(headline(analyse(network, good).under()))


def test_a_file_of_another_kind_is_refused_before_it_is_sent(visit):
    here = visit().go()
    before = drawn(here)
    here.upload("notes.txt", b"not a photo", "text/plain")
    expect(here.page.get_by_test_id("stFileUploaderFileErrorMessage").or_(
        here.page.get_by_test_id("stFileUploader").get_by_text("not allowed"))).to_be_visible()
    here.find(".answer").nth(5).click()
    here.leads_to(pooling="gmp")
    assert here.link["example"] == "astronaut"
    here.eventually(lambda: drawn(here) != before, True)


def test_a_photo_of_20000_by_1_is_analysed_and_refused_as_a_whole_in_one_sentence(visit, network, examples):
    here = visit().go()
    photo = examples["coffee"].resize((20_000, 1))
    here.upload("line.png", encode(photo))
    expect(here.find(".headline h1")).to_have_text(headline(analyse(network, photo).under()))
    assert here.notices() == []
    expect(canvas(here)).to_be_visible()
    here.page.get_by_role("radio", name="whole").click()
    expect(here.find(".notice p")).to_have_count(1)
    assert "choose crop or squash" in here.notices()[0]
    here.leads_to(framing="crop")
    here.find('.examples button[data-key="coffee"]').click()
    expect(here.find(".headline h1")).to_contain_text("espresso")
    expect(here.find(".notice")).to_have_count(0)


def test_a_photo_from_the_camera_takes_the_place_of_the_example(visit):
    here = visit().go()
    here.page.get_by_role("button", name="Use the camera").click()
    here.page.wait_for_function("document.querySelector('video')?.videoWidth > 0")
    here.page.get_by_role("button", name="Take photo").click()
    here.eventually(lambda: "photo" in here.link, True)
    expect(here.page.get_by_role("dialog")).to_have_count(0)
    expect(here.find(".examples button[aria-pressed=true]")).to_have_count(0)
    assert here.notices() == []


# Where it is drawn.


def test_the_reddest_place_on_screen_is_the_position_with_most_evidence(visit, network, examples):
    photo = grey_with_object(examples["coffee"], (1920, 1080), (560, 380, 800, 540))
    here = visit().show(photo, pooling="gmp")  # drawn before anything is clicked: what was above the click has moved
    for framing in FRAMINGS:
        analysis = analyse(network, photo, framing)
        class_index = analysis.under().top(1)[0].class_index
        cells = analysis.under("gmp").evidence(class_index).cells.numpy()
        assert np.sort(cells, axis=None)[-2] < 0.9 * cells.max(), "the photo was drawn to have one strongest position"
        here.page.get_by_role("radio", name=framing).click()
        here.leads_to(framing=framing, **{"class": str(class_index)})
        row, column = np.unravel_index(cells.argmax(), cells.shape)
        expect(here.find(".viewer .readout")).to_contain_text(f"Strongest position ({row}, {column})")
        expect(here.find(".viewer .readout")).to_contain_text(f"× {cells.shape[0]} × {cells.shape[1]}")
        here.settle(canvas(here))
        left, top, right, bottom = analysis.framing.rectangles[row, column] / np.array([1920, 1080, 1920, 1080])
        for seen in (picture(here), picture_on_screen(here)):
            x, y = reddest_place(seen, ((right - left) / 2, (bottom - top) / 2))
            assert x == pytest.approx((left + right) / 2, abs=(right - left) * 0.3), framing
            assert y == pytest.approx((top + bottom) / 2, abs=(bottom - top) * 0.3), framing
            assert seen.width / seen.height == pytest.approx(16 / 9, rel=0.01)


@pytest.mark.parametrize("upright", [False, True], ids=["landscape", "portrait"])
def test_what_was_cropped_away_is_grey_and_what_was_seen_has_its_colours_if_chosen(upright, visit, network, examples):
    photo = ImageOps.pad(examples["coffee"], (1200, 600), color=(20, 160, 40))  # green where the crop ends
    photo = photo.transpose(Image.Transpose.ROTATE_90) if upright else photo
    analysis = analyse(network, photo)
    here = visit().go(example="photographer", view="g1")
    here.upload("green.png", encode(photo))
    here.eventually(lambda: round(picture(here).width / picture(here).height, 1), 0.5 if upright else 2.0)
    here.settle(canvas(here))
    for shown in (picture(here), picture_on_screen(here)):
        pixels = np.asarray(shown, float)
        scale = shown.width / photo.width
        left, top, right, bottom = (round(edge * scale) for edge in analysis.framing.seen)
        far = 16  # JPEG smears colour over as many pixels
        unseen = np.ones(pixels.shape[:2], bool)
        unseen[max(0, top - far) : bottom + far, max(0, left - far) : right + far] = False
        colour = pixels.max(-1) - pixels.min(-1)
        assert unseen.mean() > 0.3
        assert colour[unseen].max() < 12
        assert pixels[unseen].mean() > 100, "paled, not blackened"
        seen = colour[top + far : bottom - far, left + far : right - far]
        assert np.quantile(seen, 0.1) > 20
        assert seen[:, :8].mean() > 20, "the colour begins where the crop does"
        assert seen[:, -8:].mean() > 20
        assert seen[:8].mean() > 20
        assert seen[-8:].mean() > 20


# Back, Forward, reload.


@pytest.fixture
def own_photos(visit, examples):
    """A window in which two photos of one's own were dropped in, each with a question, and the links to both."""
    here, links = visit().go(), []
    for name, angle in (("first.png", 90), ("second.png", 180)):
        here.upload(name, encode(examples["cat"].rotate(angle)))
        expect(here.find(".photo_in_use")).to_contain_text(name)
        here.search("tench")
        here.leads_to(**{"class": str(TENCH)})
        here.settle(here.find(".answers"))
        links.append(here.link)
    return here, links


def test_back_and_forward_bring_each_photo_with_its_own_question(own_photos):
    here, links = own_photos
    while here.link != links[0]:
        here.page.go_back()
        here.settle(here.find(".answers"))
    expect(here.find(".photo_in_use")).to_contain_text("first.png")
    assert here.notices() == []
    while here.link != links[1]:
        here.page.go_forward()
        here.settle(here.find(".answers"))
    expect(here.find(".photo_in_use")).to_contain_text("second.png")
    assert here.notices() == []


def test_a_reload_brings_photo_and_question_back(own_photos):
    here, links = own_photos
    shown = here.answers()
    here.page.reload()
    expect(here.find(".photo_in_use")).to_contain_text("second.png")
    here.settle(here.find(".answers"))
    assert (here.link, here.answers(), here.notices()) == (links[1], shown, [])


def test_a_photo_that_the_server_forgot_is_handed_in_by_the_browser_that_kept_it(own_photos):
    here, links = own_photos
    here.page.context.clear_cookies()  # the session cannot be taken up any more
    here.go(**links[0])
    expect(here.find(".photo_in_use")).to_contain_text("first.png")
    here.settle(here.find(".answers"))
    here.leads_to(**links[0])
    assert here.notices() == []


def test_a_photo_that_nobody_has_any_more_is_asked_for_and_its_class_is_not_carried_to_another(own_photos, visit):
    here, links = own_photos
    other = visit(sharpness=2).go(**links[0])  # in another browser
    expect(other.find(".photo_in_use")).to_contain_text("An astronaut")
    assert len(other.notices()) == 1
    assert other.notices()[0].endswith("drop it in again to see the same page.")
    assert other.link["class"] == str(HELMET)
    here.page.evaluate("() => new Promise((done) => { indexedDB.deleteDatabase('poolscope').onsuccess = done; })")
    secret = next(cookie for cookie in here.page.context.cookies() if cookie["name"] == "poolscope")
    here.page.context.clear_cookies(name="poolscope")
    lost = secret | {"value": "x" * 22 + secret["value"][22:]}  # that of a session which has ended
    here.page.goto(here.home + "/_stcore/health")
    here.page.context.add_cookies([lost])
    here.go(**links[0])
    assert here.notices() == ["The photo was lost on reload: drop it in again to go on where you were."]
