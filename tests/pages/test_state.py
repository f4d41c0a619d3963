"""What a person has chosen: each change by itself, without a page around it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from explorer.images import digest
from explorer.poolings import PoolingChoice
from explorer.ui.page import sidebar_of
from explorer.ui.session import reload
from explorer.ui.session.choices import Choices
from explorer.ui.session.link import as_query
from explorer.ui.session.session import EXAMPLES, Awaited, Fitted, Session, example_photo
from tests.browser.uploads import arrow, broken, encode

GAP, GMP, LSE = map(PoolingChoice, ("gap", "gmp", "lse"))


def test_an_example_takes_the_place_of_the_photo_and_forgets_the_class():
    current = Session(Choices(class_index=3, pooling=GMP, photo="0123456789ab", example=""))
    current.show_example("cat")
    assert current.photo.example == "cat"
    assert current.choices == Choices(example="cat", pooling=GMP)


def test_a_good_upload_takes_the_place_of_the_example_and_forgets_the_class():
    current = Session(Choices(class_index=3, framing="whole"))
    current.show_upload(encode(arrow()))
    assert current.photo.image.size == (400, 300)
    assert current.photo.digest == digest(arrow())
    assert current.choices == Choices(example="", photo=digest(arrow())[:12], framing="whole")
    assert current.take_notices() == []


def test_the_same_photo_dropped_in_again_keeps_its_class_and_takes_its_new_name():
    current = Session()
    current.show_upload(encode(arrow(), "PNG"), "arrow.png")
    current.choose(class_index=3)
    current.show_upload(encode(arrow(), "BMP"), "copy.bmp")
    assert (current.choices.class_index, current.photo.title) == (3, "copy.bmp")


def test_the_last_own_photo_can_be_shown_again():
    current = Session()
    current.show_upload(encode(arrow()))
    current.show_example("cat")
    current.show(current.uploads[digest(arrow())[:12]])
    assert current.photo.image.tobytes() == arrow().tobytes()
    assert current.choices == Choices(example="", photo=digest(arrow())[:12])


@pytest.mark.parametrize(("photo", "kept"), [(digest(arrow())[:12], 3), ("0123456789ab", None), ("", None)])
def test_the_class_of_a_link_is_kept_for_the_photo_that_the_link_was_of(photo, kept):
    current = Session(awaited=Awaited(photo, "It is not here.", {"class_index": 3}), notices=["It is not here.", "b"])
    current.show_upload(encode(arrow()))
    assert current.choices.class_index == kept
    assert current.take_notices() == (["b"] if kept else ["It is not here.", "b"])


def test_the_last_two_own_photos_can_be_returned_to():
    current = Session()
    photos = [arrow().rotate(angle) for angle in (0, 90, 180)]
    for photo in photos:
        current.show_upload(encode(photo), "arrow.png")
    assert [shown.digest for shown in current.uploads.values()] == [digest(photo) for photo in photos[1:]]
    assert current.photo.title == "arrow.png"


def test_an_example_forgets_the_classes_and_the_place_and_keeps_how_things_are_shown():
    current = Session(Choices(classes=(1, 2), region=(0, 0, 1, 1), channel=437, rank="spread", poolings=(GAP, LSE),
                              maps="votes", methods=("cam",), box=50, present=True))
    current.show_example("cat")
    assert current.choices == Choices(example="cat", channel=437, rank="spread", poolings=(GAP, LSE), maps="votes",
                                      methods=("cam",), box=50, present=True)


def test_classes_and_place_of_a_link_are_kept_for_the_photo_that_the_link_was_of():
    linked = {"class_index": 3, "classes": (3, 7), "region": (0, 0, 1, 1)}
    awaited, another = (Session(awaited=Awaited(name, "", linked)) for name in (digest(arrow())[:12], "0123456789ab"))
    awaited.show_upload(encode(arrow()))
    another.show_upload(encode(arrow()))
    assert (awaited.choices.classes, awaited.choices.region) == ((3, 7), (0, 0, 1, 1))
    assert (another.choices.classes, another.choices.region) == ((), None)


@pytest.mark.parametrize(("page", "presenting"), [
    ("Explore", True), ("Feature maps", True), ("Poolings", True), ("Activation maps", True), ("Why", True),
    ("Method", False)])
def test_a_talk_is_held_on_the_pages_that_can_be_presented(page, presenting):
    assert Session(Choices(present=True), page=page).presenting is presenting
    assert Session(Choices(), page=page).presenting is False


def test_the_whole_page_runs_again_when_its_sidebar_shows_what_is_no_longer_chosen():
    current = Session(page="Explore")
    current.show_example("cat")
    drawn = sidebar_of(current)
    current.choose(class_index=3, pooling=GMP, region=(0, 0, 1, 1), channel=5)
    assert sidebar_of(current) == drawn
    for changes in ({"present": True}, {"framing": "whole"}, {"size": 96}, {"calibrated": False}, {"layer": "x"}):
        before = current.choices
        current.choose(**changes)
        assert sidebar_of(current) != drawn, changes
        current.choices = before
    current.show_example("coffee")
    assert sidebar_of(current) != drawn, "another photo is another analysis"


def test_choices_of_a_network_are_kept_until_it_is_chosen_again():
    current = Session(Choices(network="a", layer="x", channel=3, class_index=7, box=50), fitted=Fitted("a"))
    current.choose(network="b")
    current.choose(layer="y", channel=None, box=60)
    current.fitted = Fitted("b")
    current.choose(network="a")
    assert current.choices == Choices(network="a", layer="x", channel=3, class_index=7, box=60)
    current.fitted = Fitted("a")
    current.choose(network="b", channel=9)
    assert (current.choices.layer, current.choices.channel) == ("y", 9), "what is chosen with it comes first"


def test_the_same_pixels_have_the_same_link_whatever_their_file():
    one, other = Session(), Session()
    one.show_upload(encode(arrow(), "PNG"))
    other.show_upload(encode(arrow(), "BMP"))
    assert one.choices == other.choices


@pytest.mark.parametrize("kind", broken())
def test_a_broken_upload_changes_nothing_and_leaves_one_sentence(kind):
    current = Session()
    current.show_example("rocket")
    photo, choices = current.photo, current.choices
    current.show_upload(broken()[kind])
    assert current.photo is photo
    assert current.choices == choices
    (notice,) = current.take_notices()
    assert notice.endswith(" The last photo stays.")


def test_notices_are_taken_once():
    current = Session(notices=["First.", "Second."])
    assert current.take_notices() == ["First.", "Second."]
    assert current.take_notices() == []


def test_a_link_names_the_example_or_the_photo_and_never_both():
    with_example = as_query(Choices(example="cat", size=224, calibrated=False), 7)
    with_photo = as_query(Choices(example="", photo="0123456789ab", size=96), 7)
    assert with_example == {"network": "efficientnet_lite0", "example": "cat", "class": "7", "pooling": "gap",
                            "framing": "crop", "size": "224", "calibrated": "0"}
    assert with_photo == {"network": "efficientnet_lite0", "photo": "0123456789ab", "class": "7", "pooling": "gap",
                          "framing": "crop", "size": "96", "calibrated": "1"}


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "cat.jpg", "cat/../dog", "", "CAT"])
def test_a_name_that_is_no_example_is_never_a_path(name):
    with pytest.raises(KeyError):
        example_photo(name)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_there_and_is_read_once(name):
    assert example_photo(name).image.mode == "RGB"
    assert example_photo(name) is example_photo(name)


@pytest.mark.parametrize("names", [
    [f"file-{n:012x}" for n in range(12)], ["file-0123456789ab-tf_efficientnet_b0", "file-0123456789ab"]],
    ids=["many files", "a sibling"])
def test_whatever_networks_a_session_held_its_browser_takes_it_up_again(names, monkeypatch):
    def begin(cookies: dict[str, str], link: dict[str, str]) -> Session:
        monkeypatch.setattr(reload, "st", SimpleNamespace(context=SimpleNamespace(cookies=cookies)))
        session = Session()
        reload.take_up(session, link)
        return session

    before = begin({}, {})
    before.show_upload(encode(arrow()))
    before.own |= dict.fromkeys(names)
    link = {"photo": before.photo.name, "network": names[-1]}
    after, stranger = begin({"poolscope": reload.cookie(before)}, link), begin({}, link)
    assert after.uploads == before.uploads
    assert list(after.own) == names
    assert {before.photo.name, names[-1]} <= after.held
    assert (stranger.uploads, stranger.own, stranger.held) == ({}, {}, frozenset())
