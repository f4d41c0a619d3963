"""Networks of torchvision and timm with random weights, exported to ONNX and loaded again: one line each.

Their batch norms have the statistics of noise: with none, rounding grows from layer to layer in some, as in no trained
network, until no two programs agree on the logits.

    python -m benchmarks.onnx_zoo torchvision|timm [HOW MANY] [SEED]

A line has the largest difference of the logits from the module's and the largest residual of evidence, both as
shares of the largest logit, what ran the backbone, and the seconds that loading took; or the sentence of a refusal.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
import warnings
from pathlib import Path

import timm
import torch
import torchvision
from torch import nn

from explorer import analyse, load_network, read_image
from explorer.errors import ExplorerError

PHOTO = Path(__file__).resolve().parents[1] / "assets" / "examples" / "astronaut.jpg"
LARGEST = 30_000_000  # parameters


def names(source: str, count: int, seed: int) -> list[str]:
    """That many networks, drawn at random."""
    every = torchvision.models.list_models(module=torchvision.models) if source == "torchvision" else [
        name for name in timm.list_models() if not name.startswith("test_")]
    return random.Random(seed).sample(every, len(every))[: 3 * count]


def made(source: str, name: str) -> nn.Module | None:
    """The network with random weights; None where it is too large or takes no 224 px."""
    torch.manual_seed(0)
    make = torchvision.models.get_model if source == "torchvision" else timm.create_model
    with torch.device("meta"):
        try:
            size = sum(weight.numel() for weight in make(name).parameters())
        except Exception:
            return None
    return None if size > LARGEST else make(name)


@torch.no_grad()
def settle(model: nn.Module, size: int) -> None:
    """Give batch norms the statistics of noise, and end training."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None  # the plain average
    model.train()(torch.randn(4, 3, size, size))
    model.eval()


def line(source: str, name: str, folder: Path) -> str:
    """What loading its ONNX file gives."""
    model = made(source, name)
    if model is None:
        return ""
    size = timm.data.resolve_data_config(model.pretrained_cfg)["input_size"][1] if source == "timm" else 224
    settle(model, size)
    x, path = torch.randn(1, 3, size, size), folder / "model.onnx"
    try:
        torch.onnx.export(model, (x,), path, dynamo=True, verbose=False, external_data=False)
        expected = model(x).detach()
    except Exception as error:
        return f"not exported: {type(error).__name__}"
    start = time.process_time()
    try:
        network = load_network(path)
    except ExplorerError as error:
        return f"REFUSED {error}"
    seconds = time.process_time() - start
    largest = expected.abs().max()
    difference = float((network(x) - expected).abs().max() / largest)
    if network.pooling is None:
        return f"{difference:.0e} | no pooling: {network.reason[:90]} | {seconds:.0f} s"
    analysis = analyse(network, read_image(PHOTO))
    evidence = analysis.under().evidence(0)
    residual = abs(evidence.residual) / float(analysis.under().logits.abs().max())
    return (f"{difference:.0e} | {network.pooling.name}, {'exact' if evidence.exact else 'integrated'} | "
            f"{residual:.0e} | {network.engine.runs(analysis.input)} "
            f"| {len(network.layers.all)} layers | {seconds:.0f} s")


def main(source: str, count: str = "40", seed: str = "0") -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    done = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in names(source, int(count), int(seed)):
            try:
                written = line(source, name, Path(folder))
            except Exception as error:
                written = f"CRASHED {type(error).__name__}: {error}"[:200]
            if written:
                print(f"{name} | {written}", flush=True)
                done += not written.startswith("not exported")
            if done >= int(count):
                return


if __name__ == "__main__":
    main(*sys.argv[1:])
