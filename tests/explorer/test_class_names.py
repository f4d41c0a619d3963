"""Names of classes from text, JSON or a list, whatever editor wrote them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import NetworkError
from explorer.networks.loading.class_names import read_class_names

PETS = ("tabby cat", "dog", "7 up")


@pytest.mark.parametrize("text", [
    "tabby cat\ndog\n7 up", "tabby cat\r\ndog\r\n7 up\r\n", "\ufefftabby cat\ndog\n7 up\n\n", "tabby cat\rdog\r7 up",
    "0 tabby cat\n1 dog\n2 7 up", "0: tabby cat\n1: dog\n2: 7 up\n", "0,tabby cat\n1,dog\n2,7 up",
    "1\ttabby cat\n2\tdog\n3\t7 up", "2 7 up\n0 tabby cat\n1 dog",
    '["tabby cat", "dog", "7 up"]', '{"0": "tabby cat", "2": "7 up", "1": "dog"}',
    '{"dog": 1, "tabby cat": 0, "7 up": 2}', '{"0": ["n1", "tabby cat"], "1": ["n2", "dog"], "2": ["n3", "7 up"]}',
])
def test_every_usual_form_gives_the_same_names(text, tmp_path):
    assert read_class_names(text.encode()) == PETS
    path = tmp_path / "names.txt"
    path.write_bytes(text.encode())
    assert read_class_names(path) == read_class_names(str(path)) == PETS


@given(st.lists(st.text(st.characters(codec="utf-8", categories=["L", "P", "S"]), min_size=1, max_size=30),
                min_size=1, max_size=20))
def test_a_list_its_json_and_its_mappings_are_the_same(names):
    expected = tuple(names)
    assert read_class_names(names) == expected
    assert read_class_names(json.dumps(names).encode()) == expected
    assert read_class_names(json.dumps(dict(enumerate(names))).encode()) == expected


def test_names_that_begin_with_a_number_are_not_taken_for_numbered_lines():
    assert read_class_names(b"7 up\n3 musketeers\n") == ("7 up", "3 musketeers")


def test_two_classes_may_have_one_name():
    assert read_class_names(b"crane\nowl\ncrane\n") == ("crane", "owl", "crane")


@pytest.mark.parametrize("text", [
    '{"1": "tabby cat", "2": "dog", "3": "7 up"}', '{"dog": 2, "tabby cat": 1, "7 up": 3}',
    "{0: 'tabby cat', 1: \"dog\", 2: '7 up'}", "CLASSES = ('tabby cat', 'dog', '7 up')",
    '{"architectures": ["X"], "id2label": {"0": "tabby cat", "1": "dog", "2": "7 up"}, "label2id": {"dog": 1}}',
    '{"pretrained_cfg": {"label_names": ["tabby cat", "dog", "7 up"]}, "num_classes": 3}',
    '{"categories": [{"id": 1, "name": "tabby cat"}, {"id": 2, "name": "dog"}, {"id": 3, "name": "7 up"}]}',
])
def test_names_from_one_pythons_writing_and_configurations_are_read(text):
    assert read_class_names(text.encode()) == PETS


def test_control_characters_go_and_long_names_are_cut():
    got = read_class_names(["a\x00b\x1b[31m\u202e", "<b>" + "x" * 1000])
    assert got[0] == "a b [31m"
    assert got[1] == "<b>" + "x" * 197


@pytest.mark.parametrize(("data", "words"), [
    (b"", "empty"), (b"\n \n", "no names"), (b"[]", "no names"), (b"{}", "no names"), (b"\xff\xfa\x00", "UTF-8"),
    (b'["a", 3]', "no name for class 1"), (b"a\n\nb", "no name for class 1"), (b'{"a": 0, "b": 2}', "number 1"),
    (b'{"0": "a", "00": "b"}', "number 1"), (b'{"a": "b"}', "another form"), (b'["a"', "JSON"),
    (b"[" * 100_000, "JSON"), (b"a\n" * 100_001, "at most 100,000"), (b"x" * 1_000_001, "1,000,000"),
    (b'{"a": true, "b": false}', "another form"), (b'{"0": {"x": 1}}', "no name for class 0"),
])
def test_anything_else_is_refused_in_one_sentence(data, words):
    with pytest.raises(NetworkError) as caught:
        read_class_names(data, "classes.txt")
    assert words in str(caught.value)
    assert str(caught.value).startswith("classes.txt")
    assert "\n" not in str(caught.value)
