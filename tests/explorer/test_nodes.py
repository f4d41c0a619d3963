"""Nodes become markup and board data; a user's text stays text in both."""

from __future__ import annotations

import json

from explorer.sections.nodes import Raw, clean, el, picture


def test_markup_escapes_text_and_attributes_and_leaves_nodes_and_raw_text_alone():
    node = el("p", "<b>", el("i"), Raw("a > b"), None, class_="a\"b", data_x=1, title=None)
    assert node.markup() == '<p class="a&quot;b" data-x="1">&lt;b&gt;<i></i>a > b</p>'
    assert el("rect", x=0).markup() == '<rect x="0"/>'
    assert el("div").markup() == "<div></div>"
    assert el("img", alt="").markup() == '<img alt=""/>'


def test_styles_are_properties_in_markup_and_in_data():
    node = el("div", style={"--share": "5%", "color": "red"})
    assert node.markup() == '<div style="--share: 5%; color: red"></div>'
    assert node.data() == {"tag": "div", "children": [], "style": {"--share": "5%", "color": "red"}}


def test_the_data_of_a_board_is_json_and_keeps_what_a_click_sends():
    node = el("button", "x", el("span", "y"), pick=0, aria_label="z")
    assert json.loads(json.dumps(node.data())) == {
        "tag": "button", "pick": 0, "attributes": {"aria-label": "z"},
        "children": ["x", {"tag": "span", "children": ["y"]}]}


def test_a_picture_is_an_address_that_needs_no_request():
    assert picture(b"abc", "A cat", "png").markup() == '<img src="data:image/png;base64,YWJj" alt="A cat"/>'


def test_clean_takes_away_what_xml_forbids_and_nothing_else():
    assert clean("a\x00b\x1bc\ud800d\uffffe") == "abcde"
    assert clean("tab\t line\n \x85 é 猫 😀") == "tab\t line\n \x85 é 猫 😀"
