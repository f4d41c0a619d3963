"""`make bench-causes PHOTOS=FOLDER FONT=FILE`: are planted causes found, and at what price are they muted?

    python -m benchmarks.causes FLOWERS [IMAGENET FONT] [--cache FOLDER]

FLOWERS holds photos in train/CLASS/ and val/CLASS/, one class of them tulips; IMAGENET photos named synset_class.JPEG;
FONT has Chinese characters (Noto Serif CJK, see assets/make/draw_cases.py). Writes the measured part of docs/causes.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.causes.cases import case
from benchmarks.causes.habit import habit, written_photos
from benchmarks.causes.maps import flowers
from benchmarks.causes.muted import causes
from benchmarks.causes.page import write
from benchmarks.causes.plants import PLANTS
from benchmarks.causes.results import Results, of_case
from benchmarks.causes.speed import speeds
from explorer import load_network
from explorer.networks.engine import usual_threads

RATES = (1.0, 0.9, 0.5)
SEEDS = (0, 1, 2)


def main() -> int:
    """Measure, and write the page; 2 where photos or the font are not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("flowers", type=Path)
    parser.add_argument("imagenet", type=Path, nargs="?")
    parser.add_argument("font", type=Path, nargs="?")
    parser.add_argument("--cache", type=Path, help="keeps feature maps for the next time, about 1 GB")
    options = parser.parse_args()
    for path in (options.flowers / "train", options.flowers / "val", options.imagenet, options.font):
        if path and not path.exists():
            print(f"There is no {path}; expected photos or a font, see make bench-causes in the Makefile.",
                  file=sys.stderr)
            return 2
    with tempfile.TemporaryDirectory() as folder:
        write(measured(options.flowers, options.imagenet, options.font, options.cache or Path(folder)))
    return 0


def measured(photos: Path, imagenet: Path | None, font: Path | None, cache: Path) -> Results:
    """All that the page tells."""
    torch.set_num_threads(usual_threads())
    network = load_network()
    made = Results(speeds())
    if imagenet and font:
        written = written_photos(network, imagenet, font, cache)
        made.rises, made.carton = written.rises, written.target
        made.habits.extend(habit(written, seed) for seed in SEEDS)
    of_flowers = flowers(network, photos, cache)
    clean = [case(of_flowers, "", 0.0, seed) for seed in SEEDS]
    for target, name in enumerate(of_flowers.classes):
        made.unplanted[name] = [(one, causes(one)) for one in (case.of(target) for case in clean)]
    for plant in PLANTS:
        for rate in RATES:
            made.cases[plant, rate] = [of_case(case(of_flowers, plant, rate, seed), clean[seed]) for seed in SEEDS]
            print(f"{plant}, {rate:.0%}", flush=True)
    return made


if __name__ == "__main__":
    sys.exit(main())
