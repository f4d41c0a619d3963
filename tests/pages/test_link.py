"""The link to what is shown: each choice is written and read back, and what cannot be read is one plain sentence."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.framing import FRAMINGS
from explorer.poolings import POOLINGS, PoolingChoice
from explorer.ui.session import link
from explorer.ui.session.choices import Choices
from explorer.ui.session.link import as_query, read, read_view
from tests.pages.boards import control, is_plain_sentence

EXPLORE, CHANNELS, COMPARED, MAPS, WHY, FOLDER, LESSONS, METHOD = PAGES = (
    "Explore", "Feature maps", "Poolings", "Activation maps", "Why", "Folder", "Lessons", "Method")
EVERYWHERE = ("network", "pooling", "framing", "size", "calibrated")
POOLING = PoolingChoice.parse
METHODS = ("cam", "grad_cam", "grad_cam_plus_plus", "xgrad_cam", "hires_cam", "layer_cam", "eigen_cam",
           "ablation_cam", "score_cam", "finer_cam")


def pooling_choices(*texts: str) -> tuple[PoolingChoice, ...]:
    return tuple(map(POOLING, texts))


# For each field: where links carry it, something unusual, and how that is written.
UNUSUAL = [
    ("pooling", PAGES, POOLING("gmp"), "gmp"), ("pooling", PAGES, POOLING("gem:p=4"), "gem:p=4"),
    ("framing", PAGES, "whole", "whole"),
    ("size", PAGES, 96, "96"), ("size", PAGES, 640, "640"), ("size", PAGES, 299, "299"),
    ("against", PAGES, "torchvision/resnet18", "torchvision/resnet18"),
    ("against", PAGES, "file-0123456789ab", "file-0123456789ab"), ("against", PAGES, "given", "given"),
    ("layer", PAGES, "features.7", "features.7"), ("layer", PAGES, "layer3", "layer3"),
    ("calibrated", PAGES, False, "0"),
    ("region", PAGES, (1, 2, 3, 4), "1,2,3,4"), ("region", PAGES, (0, 0, 0, 0), "0,0,0,0"),
    ("present", (EXPLORE, CHANNELS, COMPARED, MAPS, WHY, LESSONS), True, "1"),
    ("rank", (CHANNELS,), "spread", "spread"), ("show", (CHANNELS,), "silent", "silent"),
    ("channel", (CHANNELS, COMPARED), 437, "437"), ("channel", (CHANNELS, COMPARED), 0, "0"),
    ("beside", (CHANNELS,), 12, "12"), ("beside", (CHANNELS,), 0, "0"),
    ("poolings", (COMPARED, MAPS, WHY), pooling_choices("gap", "gem:p=5", "lse", "topk"), "gap,gem:p=5,lse,topk"),
    ("poolings", (COMPARED, MAPS, WHY), pooling_choices("gem", "gem:p=5"), "gem,gem:p=5"),
    ("pair", (COMPARED,), (2, 0), "2,0"),
    ("path", (COMPARED,), "attention", "attention"), ("maps", (MAPS,), "votes", "votes"),
    ("classes", (MAPS,), (281, 7), "281,7"), ("methods", (MAPS,), ("score_cam",), "score_cam"),
    ("box", (MAPS,), 95, "95"), ("box", (MAPS,), 1, "1"),
    ("rival", (WHY,), 0, "0"), ("rival", (WHY,), 652, "652"), ("ask", (WHY,), "flip", "flip"),
    ("truth", PAGES, 450, "450"), ("truth", PAGES, 0, "0"),
    ("lesson", (LESSONS,), 10, "10"), ("lesson", (LESSONS,), 2, "2"),
    ("settings", (LESSONS,), (("window", "3"), ("keeps", "max")), "window:3,keeps:max"),
    ("run", (FOLDER,), "my flowers", "my flowers"), ("beside_run", (FOLDER,), "flowers (2)", "flowers (2)"),
    ("sort", (FOLDER,), "border", "border"), ("outcome", (FOLDER,), "wrong", "wrong"),
    ("label", (FOLDER,), 3, "3"), ("predicted", (FOLDER,), 0, "0"),
    ("part", (FOLDER,), "causes", "causes"), ("cause_of", (FOLDER,), 0, "0"), ("cause_against", (FOLDER,), 7, "7"),
    ("parts", (FOLDER,), 6, "6"), ("muted", (FOLDER,), (0, 2), "0,2"), ("strength", (FOLDER,), 0, "0"),
    ("change", (EXPLORE, CHANNELS), "k12x0_k40x2.5_p3.4", "k12x0_k40x2.5_p3.4"),
    ("intervene", (EXPLORE, CHANNELS), True, "1"),
    ("everywhere", (FOLDER,), True, "1"), ("give_back", (FOLDER,), False, "0"),
]

# For each field what nobody can have meant; every field has some.
BAD = [
    ("network", ["", "resnet50", "../../assets", "torchvision/resnet19", "timm/", "file-0123456789AB", "hub/resnet50"]),
    ("against", ["resnet50", "file-"]),
    ("layer", ["a/b", "a b", "../x", "é", "x" * 121]),
    ("pooling", ["", "median", "GAP", "gem:", "gem:p", "gem:p=x", "gem:p=nan", "gem:p=0.5", "gem:q=3", "gap:p=3",
                 "gem:p=3:p=4", "x" * 5000]),
    ("framing", ["zoom", "Crop"]),
    ("size", ["", "0", "2049", "-224", "224.0", "２２４"]),
    ("calibrated", ["2", "true", "01"]),
    ("region", ["1", "1,2,3", "1,2,3,4,5", "3,0,2,0", "0,3,0,2", "-1,0,1,1", "a,b,c,d", "1,2,3,"]),
    ("present", ["on"]),
    ("rank", ["size"]),
    ("show", ["loud"]),
    ("channel", ["x", "-1", "999999999", "²", "1,2"]),
    ("truth", ["x", "-1"]),
    ("beside", ["-1"]),
    ("poolings", ["gap", "gap,gap", "gap,median", "gap,gmp,gem,lse,topk", "gem:p=3,gem:p=3.0", "gap,,gmp"]),
    ("pair", ["0", "0,0", "0,1,2", "0,4"]),
    ("path", ["gap", "p"]),
    ("maps", ["cam"]),
    ("classes", ["x", "1,2,3,4,5,6", "1,,2"]),
    ("methods", ["smooth_grad", "cam,grad_cam,layer_cam,eigen_cam,score_cam", "cam,"]),
    ("box", ["0", "96", "20%"]),
    ("rival", ["-1"]),
    ("ask", ["why"]),
    ("lesson", ["0", "11", "01"]),
    ("run", ["", "a/b", "..\\c", "x" * 81]), ("beside_run", ["/"]), ("sort", ["best"]), ("outcome", ["odd"]),
    ("label", ["-1"]), ("predicted", ["x"]), ("part", ["maps"]), ("cause_of", ["-1"]), ("cause_against", ["x"]),
    ("parts", ["1", "11"]), ("muted", ["10", "0,,1"]), ("strength", ["101"]), ("everywhere", ["yes"]),
    ("give_back", ["2"]), ("intervene", ["on"]),
    ("change", ["k12", "k12x11", "k12x-1", "p3", "k12x0,p3.4", "_", "k1x1e3", "k12x0_nonsense"]),
    ("settings", ["window", "window:", ":3", "window:3,", "Window:3", "a:b c", "x" * 30 + ":1",
                  ",".join(f"a{n}:1" for n in range(7))]),
]
HTML = "<img src=x onerror=alert(1)>"
ALL_BAD = [(name, text) for name, texts in BAD for text in [*texts, HTML]]


def page_of(name: str) -> str:
    """A page whose links carry the field."""
    return next(page for page in PAGES
                if name in EVERYWHERE or name in as_query(Choices(**{name: unusual(name)}), 0, page))


def unusual(name: str) -> object:
    return next(value for field, _, value, _ in UNUSUAL if field == name)


# Writing.


@pytest.mark.parametrize("page", PAGES)
def test_a_link_to_what_is_usual_says_the_seven_things_that_every_link_says_and_no_more(page):
    assert as_query(Choices(size=224), 560, page) == {
        "network": "efficientnet_lite0", "example": "astronaut", "class": "560", "pooling": "gap", "framing": "crop",
        "size": "224", "calibrated": "1"}


@pytest.mark.parametrize(("name", "pages", "value", "text"), UNUSUAL)
def test_what_is_unusual_is_written_on_the_pages_that_have_it_and_on_no_other(name, pages, value, text):
    usual = as_query(Choices(size=224), 3)
    for page in PAGES:
        expected = usual | {name: text} if page in pages else usual
        assert as_query(Choices(**({"size": 224} | {name: value})), 3, page) == expected, page


def test_every_choice_but_photo_and_class_is_a_field_of_some_link():
    choices = {field.name for field in dataclasses.fields(Choices)} - {"example", "photo", "item", "class_index"}
    assert choices == {field.name for field in link.FIELDS} == {"network", *(name for name, *_ in UNUSUAL)}


def test_every_field_has_something_bad_that_is_tried():
    assert {name for name, _ in BAD} == {field.name for field in link.FIELDS}


def test_a_link_says_no_size_until_the_network_and_with_it_its_own_size_is_known():
    assert "size" not in as_query(Choices(), 560, EXPLORE)


# Reading.


def test_what_was_written_is_read_back_the_same():
    for name, pages, value, text in UNUSUAL:
        for page in pages:
            changes, sentences = read({name: text}, page, Choices())
            assert (changes[name], sentences) == (value, []), (name, text, page)


@pytest.mark.parametrize(("name", "text"), ALL_BAD, ids=lambda part: part[:24] or "empty")
def test_what_cannot_be_read_is_left_as_it_was_with_one_plain_sentence(name, text):
    page = page_of(name)
    result, sentences = read({name: text}, page, Choices())
    (sentence,) = sentences
    assert name not in result
    assert name in sentence
    assert is_plain_sentence(sentence), sentence


def test_a_sentence_names_what_is_shown_instead_where_a_link_says_it():
    (of_pooling,) = read({"pooling": "median"}, EXPLORE, Choices(pooling=POOLING("gmp")))[1]
    (of_rank,) = read({"rank": "size"}, CHANNELS, Choices())[1]
    (of_own_rank,) = read({"rank": "size"}, CHANNELS, Choices(rank="spread"))[1]
    assert of_pooling == "The link asks for pooling “median”, which does not exist; gmp is shown."
    assert of_rank == "The link asks for rank “size”, which does not exist; the usual is shown."
    assert of_own_rank == "The link asks for rank “size”, which does not exist; spread is shown."


def test_a_sentence_repeats_no_more_than_forty_letters_of_what_it_was_given():
    (sentence,) = read({"pooling": "x" * 5000}, EXPLORE, Choices())[1]
    assert "x" * 40 in sentence
    assert "x" * 41 not in sentence


def test_each_bad_part_has_its_own_sentence_and_the_good_ones_are_read():
    calls = {"pooling": "median", "size": "0", "framing": "whole", "box": "0", "maps": "votes", "classes": "x"}
    result, sentences = read(calls, MAPS, Choices())
    assert result["framing"] == "whole"
    assert result["maps"] == "votes"
    assert [next(name for name in calls if f"asks for {name} " in sentence) for sentence in sentences] == [
        "pooling", "size", "classes", "box"]


def test_a_field_of_another_page_is_neither_obeyed_nor_lost():
    for name, pages, value, text in UNUSUAL:
        for page in set(PAGES) - set(pages):
            for query in ({name: text}, {name: HTML}, {}):
                changes, sentences = read(query, page, Choices(**{name: value}))
                assert name not in changes, (name, page)
                assert sentences == []


def test_what_a_link_leaves_out_is_usual_unless_every_link_says_it():
    for name, pages, value, _ in UNUSUAL:
        for page in pages:
            changes, _ = read({}, page, Choices(**{name: value}))
            usual = value if name in EVERYWHERE else getattr(Choices(), name)
            assert changes.get(name, value) == usual, (name, page)


def test_a_name_that_no_page_knows_is_left_alone():
    result, sentences = read({"utm_source": "newsletter", "gclid": HTML, "": "x"}, EXPLORE, Choices())
    assert sentences == []
    assert not {"utm_source", "gclid", ""} & set(result)


@pytest.mark.parametrize(("text", "one_form"), [
    ("timm/resnet50", "timm/resnet50.a1_in1k"), ("torchvision/ResNet18", "torchvision/resnet18"),
    ("torchvision/resnet50.imagenet1k_v1", "torchvision/resnet50.IMAGENET1K_V1"),
    ("torchvision/resnet50.IMAGENET1K_V2", "torchvision/resnet50"), ("given", "given"),
])
def test_a_network_is_read_in_its_one_form(text, one_form):
    result, sentences = read({"network": text, "against": text}, EXPLORE, Choices())
    assert (result["network"], result["against"], sentences) == (one_form, one_form, [])


@pytest.mark.parametrize("key", ["catavgmax", "attention_pool", "learned_attention", "multi_query_attention", "gated"])
def test_a_pooling_that_only_some_networks_have_can_be_in_a_link(key):
    assert read({"pooling": key, "poolings": f"gap,{key}"}, COMPARED, Choices())[0]["pooling"] == PoolingChoice(key)
    assert str(PoolingChoice.of(key, {})) == key


# Poolings in their one form.


@pytest.mark.parametrize(("text", "one_form"), [
    ("gem:p=4.0", "gem:p=4"), ("gem:p=04", "gem:p=4"), ("gem:p=4e0", "gem:p=4"), ("gem:p=3.00", "gem:p=3"),
    ("gem", "gem"), ("lse:r=0.05", "lse:r=0.05"), ("topk:share=.5", "topk:share=0.5"),
    ("mixed:a=0", "mixed:a=0"), ("attention:t=1e-2", "attention:t=0.01"),
    ("gem:p=2.718281828459045", "gem:p=2.718281828459045"),
])
def test_a_pooling_is_read_in_its_one_form(text, one_form):
    assert str(read({"pooling": text}, EXPLORE, Choices())[0]["pooling"]) == one_form
    assert read({"poolings": f"gap,{text}"}, COMPARED, Choices())[0]["poolings"] == pooling_choices("gap", one_form)


def test_minus_zero_is_zero():
    assert read({"pooling": "mixed:a=-0"}, EXPLORE, Choices())[0]["pooling"] == POOLING("mixed:a=0")


def test_the_same_pooling_twice_is_one():
    result = read({"poolings": "gap,gem:p=4.0,gem:p=4,gmp,gap"}, COMPARED, Choices())[0]["poolings"]
    assert result == pooling_choices("gap", "gem:p=4", "gmp")


@given(data=st.data())
def test_a_pooling_written_for_a_choice_is_the_same_number_again(data):
    pooling = data.draw(st.sampled_from([item for item in POOLINGS.values() if item.parameter]))
    value = data.draw(st.floats(pooling.parameter.low, pooling.parameter.high))
    again = POOLING(str(PoolingChoice.of(pooling.key, {pooling.parameter.name: value})))
    assert (again.key, pooling.resolve(dict(again.parameters))) == (pooling.key, {pooling.parameter.name: value})


# There and back.


def poolings() -> st.SearchStrategy[PoolingChoice]:
    def with_a_number(pooling) -> st.SearchStrategy[PoolingChoice]:
        if pooling.parameter is None:
            return st.just(PoolingChoice(pooling.key))
        number = st.floats(pooling.parameter.low, pooling.parameter.high) | st.just(pooling.parameter.default)
        return number.map(lambda value: PoolingChoice.of(pooling.key, {pooling.parameter.name: value}))

    return st.sampled_from(list(POOLINGS.values())).flatmap(with_a_number)


def several(parts: st.SearchStrategy, least: int, most: int) -> st.SearchStrategy[tuple]:
    return st.lists(parts, min_size=least, max_size=most, unique=True).map(tuple)


NUMBER = st.integers(0, 99_999_999)
REGION = st.tuples(NUMBER, NUMBER, NUMBER, NUMBER).map(
    lambda four: (min(four[0], four[2]), min(four[1], four[3]), max(four[0], four[2]), max(four[1], four[3])))
NETWORKS = st.sampled_from(["efficientnet_lite0", "torchvision/resnet18", "timm/resnet50.a1_in1k", "given",
                            "file-0123456789ab", "torchvision/resnet50.IMAGENET1K_V1"])
CHOICES = st.builds(
    Choices, network=NETWORKS, against=st.just("") | NETWORKS, layer=st.sampled_from(["", "layer3", "features.7"]),
    pooling=poolings(), framing=st.sampled_from(list(FRAMINGS)),
    size=st.integers(1, 2048), calibrated=st.booleans(), region=st.none() | REGION,
    present=st.booleans(), rank=st.sampled_from(["contribution", "pooled", "spread", "sparsity", "index"]),
    show=st.sampled_from(["all", "paying", "opposing", "silent"]), channel=st.none() | NUMBER,
    beside=st.none() | NUMBER, poolings=several(poolings(), 2, 4), pair=several(st.integers(0, 3), 2, 2),
    path=st.sampled_from(["gem", "lse", "topk", "mixed", "attention"]),
    maps=st.sampled_from(["evidence", "cams", "votes"]), classes=st.just(()) | several(NUMBER, 1, 5),
    methods=several(st.sampled_from(METHODS), 1, 4), box=st.integers(1, 95),
)


@settings(max_examples=150)
@given(choices=CHOICES, before=CHOICES, page=st.sampled_from(PAGES))
def test_a_link_followed_anywhere_brings_the_same_link_again(choices, before, page):
    calls = as_query(choices, 5, page)
    result, sentences = read(calls, page, before)
    after = dataclasses.replace(before, **result)
    assert sentences == []
    assert as_query(after, 5, page) == calls
    for field in link.FIELDS:
        assert (field.name in result) == field.is_on(page)
        source = choices if field.is_on(page) else before
        assert getattr(after, field.name) == getattr(source, field.name), field.name


@settings(max_examples=150)
@given(calls=st.dictionaries(st.sampled_from([*(item.name for item in link.FIELDS), "view", "x"]),
                             st.text(max_size=60)),
       page=st.sampled_from(PAGES))
def test_whatever_a_link_says_there_is_a_page_and_at_most_a_sentence_each(calls, page):
    result, sentences = read(calls, page, Choices())
    after = dataclasses.replace(Choices(), **result)
    again, none = read(as_query(after, 0, page), page, Choices())
    assert len(sentences) <= len(calls)
    assert none == []
    assert dataclasses.replace(Choices(), **again) == after


# The viewer's own part.


@pytest.mark.parametrize("text", ["o60", "o60_s1_m652.gmp", "m652.gem-p4.5", "w40_c2_p1_z2.25_x12.5_y88", "t25", ""])
def test_what_the_viewer_wrote_is_kept(text):
    assert read_view(text) == text
    assert as_query(Choices(), 1, EXPLORE, read_view(text)).get("view", "") == text


@pytest.mark.parametrize("text", [HTML, "o60&class=3", "o60 s1", "javascript:alert(1)", "o60\n", "\n", "é", "o６０",
                                  "../..", "o" * 121, "m652.gmp;", "%3Cscript%3E"])
def test_what_the_viewer_cannot_have_written_is_dropped(text):
    assert read_view(text) == ""
    assert "view" not in as_query(Choices(), 1, EXPLORE, read_view(text))


def test_a_browser_that_missed_a_run_has_what_is_chosen_as_the_usual_value_of_a_control(open_page):
    """It answers with the usual value of a control that it first hears of in a second run, as if it were chosen."""
    page = open_page(size="320", framing="whole", calibrated="0", pooling="gmp")
    for _ in range(2):
        slider, framing, switch, pooling = (
            control(page, name).proto for name in ("size", "framing", "calibrated", "pooling"))
        assert slider.options[int(slider.default[0])] == "320"
        assert [framing.options[n].content for n in framing.default] == ["whole"]
        assert switch.default is False
        assert pooling.options[pooling.default] == "GMP"
        page.run()
