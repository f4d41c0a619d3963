"""All networks of torchvision, or those of timm below 50 million parameters, cut with random weights: docs/networks.md.

`make zoo` and `make zoo-timm`. Each network is split at its global pooling and put together again, at its own size
and on an input that is no square; the logits of five classes on an example photo are decomposed over positions.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import timm
import torch
import torchvision
from torch import nn

from explorer import analyse, read_image
from explorer.errors import ExplorerError
from explorer.framing import Preprocessing
from explorer.networks import Network

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "networks.md"
PHOTO = ROOT / "assets" / "examples" / "astronaut.jpg"
LARGEST = 50_000_000  # parameters of a timm network that is tried


@dataclass
class Row:
    """The measurements of one network."""

    name: str
    parameters: int = 0
    shape: tuple[int, ...] = ()
    pooling: str = ""
    head: str = ""
    cut: str = ""
    reassembled: float = 0.0
    not_square: float | None = None
    exact: bool = False
    residual: float = 0.0
    reason: str = ""

    @property
    def written(self) -> str:
        """Its line of the table."""
        shape = " × ".join(str(length) for length in self.shape)
        if self.reason:
            return f"| {self.name} | {shape} | none | {self.reason} |"
        not_square = "its own size alone" if self.not_square is None else f"{self.not_square:.0e}"
        kind = "exact" if self.exact else "integrated"
        return (f"| {self.name} | {shape} | {self.pooling} | {self.head} | {self.cut} | {self.reassembled:.0e} | "
                f"{not_square} | {kind} | {self.residual:.0e} |")

    @property
    def good(self) -> bool:
        """Whether it keeps what the page promises."""
        return not self.reason and max(self.reassembled, self.not_square or 0) <= 1e-5 and self.residual <= (
            1e-4 if self.exact else 1e-2)


def measured(name: str, model: nn.Module, preprocessing: Preprocessing) -> Row:
    """One network's row; differences and residuals are shares of its largest logit."""
    network = Network.from_module(model, preprocessing, name=name)
    row = Row(name, sum(weight.numel() for weight in model.parameters()), reason=network.reason)
    row.shape = tuple(network.layers.all[-1].shape) if network.reason else ()
    if network.reason:
        return row
    size, channels = preprocessing.size, len(preprocessing.mean)
    sizes = [(size, size)] + ([] if network.preprocessing.fixed else [(2 * size, size)])
    differences = []
    with torch.no_grad():
        for number, (height, width) in enumerate(sizes):
            x = torch.randn(1, channels, height, width, generator=torch.Generator().manual_seed(number))
            expected = model(x)
            differences.append(float((network(x) - expected).abs().max() / expected.abs().max().clamp_min(1e-12)))
    analysis = analyse(network, read_image(PHOTO))
    outcome = analysis.under()
    evidences = outcome.evidences([answer.class_index for answer in outcome.top(5)])
    row.shape, row.pooling, row.cut = tuple(analysis.feature_maps.shape), outcome.name, network.cut
    row.head, row.exact = network.head_kind, all(evidence.exact for evidence in evidences)
    row.reassembled, row.not_square = differences[0], differences[1] if len(differences) > 1 else None
    row.residual = max(abs(evidence.residual) for evidence in evidences) / max(1e-12, float(outcome.logits.abs().max()))
    return row


def of_torchvision(part: str) -> Iterator[tuple[str, Callable[[], nn.Module], Preprocessing]]:
    """All classification networks of torchvision, at 224 px (Inception v3 at its 299)."""
    for name in torchvision.models.list_models(module=torchvision.models, include=f"*{part}*"):
        slow = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        size = 299 if name == "inception_v3" else 224
        yield name, lambda name=name, slow=slow: torchvision.models.get_model(name, weights=None, **slow), \
            Preprocessing(size=size)


def of_timm(part: str) -> Iterator[tuple[str, Callable[[], nn.Module], Preprocessing]]:
    """timm's classification networks under 50 million parameters, at the size they are tested at."""
    for name in timm.list_models(f"*{part}*", exclude_filters="test_*"):
        with torch.device("meta"):
            try:
                model = timm.create_model(name)
            except Exception as error:
                print(f"{name} cannot be made: {error}", file=sys.stderr)
                continue
        if sum(weight.numel() for weight in model.parameters()) >= LARGEST or not getattr(model, "num_classes", 0):
            continue
        cfg = model.pretrained_cfg
        yield name, lambda name=name: timm.create_model(name), Preprocessing(
            size=cfg["input_size"][1], mean=tuple(cfg["mean"]), std=tuple(cfg["std"]))


def rows(networks: Iterator[tuple[str, Callable[[], nn.Module], Preprocessing]], file: Path | None) -> Iterator[Row]:
    """The measurements of one network after another; those in the file are taken from there, the others added."""
    lines = file.read_text(encoding="utf-8").splitlines() if file and file.exists() else []
    known = {row.name: row for row in (Row(**json.loads(line)) for line in lines)}
    for name, make, preprocessing in networks:
        if name in known:
            yield known[name]
            continue
        begin = time.perf_counter()
        torch.manual_seed(0)
        try:
            row = measured(name, make().eval(), preprocessing)
        except ExplorerError as error:
            row = Row(name, reason=str(error))
        except Exception as error:
            row = Row(name, reason=f"{type(error).__name__}: {str(error).split(chr(10))[0][:160]}")
        print(f"{time.perf_counter() - begin:6.1f} s  {'good' if row.good else '----'}  {row.written}", flush=True)
        if file:
            with file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(asdict(row)) + "\n")
        gc.collect()
        yield row


def section(source: str, rows: list[Row]) -> str:
    """The source's part of the page."""
    good, none = [row for row in rows if row.good], [row for row in rows if row.reason]
    bad = [row for row in rows if not row.good and not row.reason]
    lines = [
        f"{len(good)} of {len(rows)} networks split and reassemble to 1e-5 of the largest logit, and the evidence of "
        "five classes sums to their logits (to 1e-4 where exact, to 1e-2 where integrated); "
        f"{len(bad)} do less; {len(none)} have no global pooling that is known.", "",
        "| network | feature maps | native pooling | head | found | reassembled | not square | evidence | residual |",
        "|---|---|---|---|---|---|---|---|---|",
        *(row.written for row in rows if not row.reason), "",
    ]
    if none:
        lines += ["Without a global pooling that is known: feature maps and gradient CAMs alone.", "",
                  "| network | maps | pooling | why |", "|---|---|---|---|", *(row.written for row in none), ""]
    return f"## {source}\n\n" + "\n".join(lines)


def write(source: str, text: str) -> None:
    """Exchange that part of the page, or add it."""
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else (
        "# Which networks can be decomposed\n\nMeasured with random weights by `make zoo` and `make zoo-timm`, which "
        "write this page. *Reassembled* and *not square* are the largest difference between the network and its "
        "parts, *residual* what the evidence leaves over, all as shares of the largest logit.\n\n")
    parts = page.split("## ")
    kept = [part for part in parts[1:] if not part.startswith(f"{source}\n")]
    ordered = sorted((f"## {part.rstrip()}\n" for part in [*kept, text[3:]]), reverse=True)  # torchvision, timm
    PAGE.write_text(parts[0] + "\n".join(ordered), encoding="utf-8")


def main() -> None:
    """Cut the networks of one source, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", choices=["torchvision", "timm"])
    parser.add_argument("--rows", type=Path, help="JSON lines of what is measured; the same command goes on from there")
    parser.add_argument("--only", default="", help="networks whose name holds this; the page is not written")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    networks = of_torchvision(options.only) if options.source == "torchvision" else of_timm(options.only)
    measurements = list(rows(networks, options.rows))
    print(f"{sum(row.good for row in measurements)} of {len(measurements)} are good")
    if not options.only:
        write(options.source, section(options.source, measurements))


if __name__ == "__main__":
    main()
