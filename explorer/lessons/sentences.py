"""Example sentences with their token vectors, as shipped, and pairs of them that show something.

What a pair says is true of the shipped vectors; a test derives each of its sentences from numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from safetensors import SafetensorError
from safetensors.numpy import load

from explorer.errors import NetworkError
from explorer.lessons.tokens import Sentence
from explorer.networks.loading.bundled import ASSETS
from explorer.networks.loading.files import checked_bytes

CARD, VECTORS = "sentences.json", "sentences.safetensors"


class Pair(NamedTuple):
    """Two of the example sentences and what to look at.

    Attributes:
        title: a few words for a choice.
        first, second: keys of the sentences.
        look: what to notice, in one sentence or two.
    """

    title: str
    first: str
    second: str
    look: str


PAIRS = MappingProxyType({  # by their names in links
    "order": Pair("Same words, other order", "dog_cat", "cat_dog",
        "Under every pooling the two are nearly the same: pooling ignores order. The little by which they differ is "
        "in the token vectors, where the model has encoded it."),
    "negation": Pair("One word that reverses the meaning", "soup_good", "soup_not_good",
        "Under GAP the token that matters is one of eight, and of all tokens of its sentence it adds least."),
    "other_words": Pair("The same meaning in other words", "soup_bad", "soup_not_good",
        "Under GAP these are more alike than good and not good: the model has read the negation, and its neighbours' "
        "vectors carry it."),
    "paraphrase": Pair("No word in common", "kids", "children",
        "Under GAP the pairs that add most are kids and children, sweets and candy, though no word occurs in both."),
    "telling": Pair("One telling word in a long sentence", "walk", "volcano",
        "Under GAP every token counts the same, and yet volcano adds most. Under GMP it wins more channels than any "
        "other token; under Attention it hardly counts, because it is unlike the sentence's average."),
    "two_topics_music": Pair("Two topics: the first", "two_topics", "orchestra",
        "One vector holds both topics: under GAP violin and plays add most, and repairs, old and cars subtract a "
        "little, together."),
    "two_topics_motors": Pair("Two topics: the second", "two_topics", "mechanic",
        "The same vector, compared by its other half: under GAP cars and repairs now add most."),
    "unrelated": Pair("Nothing in common", "kids", "volcano",
        "Under GAP the cosine is near 0, under GMP and GeM above a half, because most numbers of their pooled vectors "
        "are above 0; under LSE and SoftPool most of it is [CLS], which has one large number in every sentence. Any "
        "other cosine is to be compared with this one."),
})


@cache
def bundled_sentences(folder: Path = ASSETS) -> Mapping[str, Sentence]:
    """The example sentences by key, in the order of their file; their vectors are (T, 384), rounded to half precision.

    Raises NetworkError when a file is missing or damaged.
    """
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        vectors = load(checked_bytes(folder / VECTORS, card["sha256"], "example sentences'"))
        origin = f"bundled, computed beforehand with {card['model']} and rounded to float16"
        return MappingProxyType({
            row["key"]: Sentence(row["text"], tuple(row["tokens"]), vectors[row["key"]], origin)
            for row in card["sentences"]
        })
    except OSError as error:
        raise NetworkError(f"The example sentences cannot be read: {error.strerror or error}.") from None
    except (SafetensorError, ValueError, LookupError, TypeError, AttributeError):
        raise NetworkError("The example sentences are damaged: their content is not what was expected.") from None
