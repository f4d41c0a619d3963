"""Method without a browser: every pooling and every CAM method of the registries stands on it."""

from __future__ import annotations

import pytest

from explorer import CAM_METHODS, POOLINGS
from tests.pages.boards import boards, notices

METHOD = "pages/7_Method.py"


@pytest.fixture(scope="module")
def method_page(request):
    from streamlit.testing.v1 import AppTest

    from tests.pages.conftest import APP

    return AppTest.from_file(str(APP), default_timeout=60).switch_page(METHOD).run()


def test_the_page_opens_without_an_exception(method_page):
    assert not method_page.exception
    assert notices(method_page) == []


def test_every_method_has_its_explanation_source_and_formula(method_page):
    formulas = [formula.value for formula in method_page.latex]
    for method in (*POOLINGS.values(), *CAM_METHODS.values()):
        shown = boards(method_page)[f"method_{method.key}"]
        assert shown.one("h3").text == method.name
        assert method.explanation in shown.text
        assert shown.all("caption")[-1].text == method.source
        assert any(method.formula in formula for formula in formulas), method.key


def test_a_parameter_is_explained_with_its_range(method_page):
    for pooling in POOLINGS.values():
        captions = [caption.text for caption in boards(method_page)[f"method_{pooling.key}"].all("caption")]
        assert len(captions) == (2 if pooling.parameter else 1)
        if pooling.parameter:
            assert captions[0].startswith(f"{pooling.parameter.name}: ")
            assert f"{pooling.parameter.low:g} to {pooling.parameter.high:g}" in captions[0]


def test_a_deep_link_to_it_is_obeyed_and_leads_on_to_explore(open_page):
    page = open_page(METHOD, example="coffee", pooling="gmp", framing="whole")
    assert not page.exception
    assert page.query_params["class"] == "967"
    page.switch_page("app.py").run()
    assert not page.exception
    assert page.query_params["example"] == "coffee"
    assert page.query_params["pooling"] == "gmp"
    assert page.query_params["framing"] == "whole"
    assert "espresso" in boards(page)["headline"].text


def test_a_bad_link_to_it_is_one_sentence(open_page):
    page = open_page(METHOD, pooling="median")
    assert not page.exception
    assert len(notices(page)) == 1


def test_the_navigation_names_every_page_and_leaves_the_link_to_the_session(open_page):
    page = open_page(pooling="gmp", example="cat")
    links = {link.proto.label: link.proto for link in page.get("page_link")}
    assert list(links) == [
        "Explore", "Feature maps", "Poolings", "Activation maps", "Why", "Folder", "Lessons", "Method"]
    assert all(link.query_string == "" for link in links.values())
