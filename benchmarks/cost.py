"""What an analysis costs, in bare forward passes of the same network by torch.

    python -m benchmarks.cost [--rounds 40] [--photo PHOTO]

The jobs are timed in turn, each against a bare pass right before it; the median over rounds is printed. So a slow or
busy machine changes the times and not the ratios.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torchcam.methods import GradCAM

from explorer import CAM_METHODS, POOLINGS, Analysis, analyse, load_network, read_image
from explorer.framing import frame

PHOTO = Path(__file__).resolve().parents[1] / "assets" / "examples" / "astronaut.jpg"
THREE = ("gap", "gmp", "attention")
FREE_CAMS = tuple(key for key in CAM_METHODS if key != "score_cam")


def top_evidence(analysis: Analysis, poolings: tuple[str, ...]) -> None:
    """The evidence for the five most probable classes under each pooling."""
    for key in poolings:
        outcome = analysis.under(key)
        outcome.evidences([answer.class_index for answer in outcome.top(5)])


def jobs(photo: Path) -> tuple[Callable[[], object], dict[str, Callable[[], object]]]:
    """The bare pass, and what is timed against it, by name."""
    network, image = load_network("efficientnet_lite0"), read_image(photo)
    x, framing = frame(image, network.preprocessing)
    classes = [answer.class_index for answer in analyse(network, image).under().top(5)]

    @torch.no_grad()
    def from_input() -> Analysis:
        maps = network.engine(x)[0]
        return Analysis(network, image, framing.on_grid(*maps.shape[1:]), x, maps, 0.0)

    def cams() -> None:
        analysis = from_input()
        for method in FREE_CAMS:
            for index in classes:
                analysis.cam(method, index)

    model = torch.nn.Sequential(network.backbone, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), network.head)
    extractor = GradCAM(model, model[0])

    def torchcam() -> None:
        scores = model(x.clone().requires_grad_())
        for n, index in enumerate(classes):
            extractor(index, scores, retain_graph=n < len(classes) - 1)

    bare = network.run_by("torch")
    return lambda: bare(x), {
        "the photo framed (in no other row but the third)": lambda: frame(image, network.preprocessing),
        "analysis, top-5 evidence under gap, gmp, attention": lambda: top_evidence(from_input(), THREE),
        "photo framed and analysed, top-5 evidence under gap, gmp, attention":
            lambda: top_evidence(analyse(network, image), THREE),
        "analysis, top-5 evidence under all eight poolings": lambda: top_evidence(from_input(), tuple(POOLINGS)),
        f"analysis, {len(FREE_CAMS)} CAM methods (all but Score-CAM), 5 classes": cams,
        "torchcam's Grad-CAM, 5 classes": torchcam,
    }


def timed(job: Callable[[], object]) -> float:
    """Seconds of one run."""
    begin = time.perf_counter()
    job()
    return time.perf_counter() - begin


def measure(bare: Callable[[], object], work: dict[str, Callable[[], object]], rounds: int) -> dict[str, list]:
    """For each job its (seconds, seconds of the bare pass before it) in each round, the jobs in turn.

    Two bare passes come before each job and the second is timed, so that both follow on a bare pass: torchcam's job,
    for one, frees so much memory that whatever comes next pays for getting it again.
    """
    times: dict[str, list] = {name: [] for name in work}
    for n in range(rounds + 3):
        for name, job in work.items():
            bare()
            before = timed(bare)
            if n >= 3:  # the first rounds warm up
                times[name].append((timed(job), before))
            else:
                job()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--photo", type=Path, default=PHOTO)
    options = parser.parse_args()
    bare, work = jobs(options.photo)
    times = measure(bare, work, options.rounds)
    passes = [before for pairs in times.values() for _, before in pairs]
    print(f"bare forward pass: {statistics.median(passes) * 1000:.1f} ms (median of {len(passes)})\n")
    print("forward passes   (quartiles)")
    for name, pairs in times.items():
        low, middle, high = statistics.quantiles([job / before for job, before in pairs], n=4)
        print(f"{middle:14.2f}   ({low:.2f} to {high:.2f})   {name}")


if __name__ == "__main__":
    main()
