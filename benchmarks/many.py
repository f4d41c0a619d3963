"""What questions of many forward passes cost, by ONNX Runtime and by torch.

    python -m benchmarks.many [--rounds 5] [--photo PHOTO]

Each job is timed right after 16 bare passes of torch, one at a time at the job's input size; the median of the ratios
is printed. So a slow or busy machine changes the times and not the ratios.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.cost import PHOTO, timed
from explorer import analyse, load_network, read_image
from explorer.framing import frame
from explorer.networks import Network
from explorer.questions.object_map import SUGGESTED, object_map
from explorer.questions.stitching import stitched
from explorer.questions.trust import maps_to_judge, removal_curves

ENGINES = ("auto", "torch")


def jobs(network: Network, photo: Path) -> dict[str, tuple[int, Callable[[], object]]]:
    """By name the input's short side in px and the job, on an analysis that knows no answer from before."""
    image, size = read_image(photo), network.preprocessing.size
    answer = analyse(network, image).under().top(1)[0].class_index

    def curves() -> None:
        outcome = analyse(network, image).under()
        maps = dict(list(maps_to_judge(outcome, answer)[0].items())[:4])
        removal_curves(outcome, answer, maps)

    return {
        "where the object is: 17 inputs, 16 of them at 384 px":
            (round(size * SUGGESTED.enlarged), lambda: object_map(analyse(network, image), answer)),
        "stitched from 4 x 4 shifts: 17 inputs": (size, lambda: stitched(analyse(network, image).under(), answer)),
        "removal curves of 20 steps, 4 maps and 3 controls": (size, curves),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--photo", type=Path, default=PHOTO)
    options = parser.parse_args()
    networks = {engine: load_network("efficientnet_lite0", engine=engine) for engine in ENGINES}
    work = {engine: jobs(network, options.photo) for engine, network in networks.items()}
    bare, preprocessing = networks["torch"].run_by("torch"), networks["torch"].preprocessing
    print(f"16 bare passes of torch with {torch.get_num_threads()} threads are 1.00")
    print("   auto   torch   auto / torch")
    for name, (side, _) in work["auto"].items():
        x = frame(read_image(options.photo), preprocessing, short_side=side)[0]
        ratios: dict[str, list[float]] = {engine: [] for engine in ENGINES}
        for n in range(options.rounds + 1):
            for engine in ENGINES:
                before = timed(lambda x=x: [bare(x) for _ in range(16)])
                seconds = timed(work[engine][name][1])
                if n:  # the first round warms up
                    ratios[engine].append(seconds / before)
        auto, by_torch = (statistics.median(ratios[engine]) for engine in ENGINES)
        print(f"{auto:7.2f} {by_torch:7.2f} {auto / by_torch:14.2f}   {name}")


if __name__ == "__main__":
    main()
