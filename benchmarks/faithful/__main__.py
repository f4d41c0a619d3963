"""`make bench-faithful PHOTOS=FOLDER`: which map finds the object, and does a map's order matter to the network.

FOLDER holds imagenet/ (photos named synset_class.JPEG) and coco128/ (images, labels/*.txt, classes.txt and
classes_in_imagenet.json). Writes docs/faithfulness.md and assets/faithfulness.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.faithful.curves import PHOTOS, drawn_photos, judge
from benchmarks.faithful.numbers import find
from benchmarks.faithful.objects import of_coco, of_grids
from benchmarks.faithful.page import Set, write
from explorer import load_network

SIDES = (256, 320, 384, 448)  # px


def main() -> int:
    """Measure, and write both files; 2 where the photos are not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="the folder that holds imagenet/ and coco128/")
    options = parser.parse_args()
    imagenet, coco = options.photos / "imagenet", options.photos / "coco128"
    for folder in (imagenet, coco):
        if not folder.is_dir():
            print(f"There is no folder {folder}; expected photos in it, see make bench-faithful in CONTRIBUTING.md.",
                  file=sys.stderr)
            return 2
    network = load_network()
    print(f"Deletion and insertion, {PHOTOS} photos")
    judged = judge(network, drawn_photos(imagenet))
    print("Grids of 2 x 2 photos")
    grids = find(network, of_grids(network, imagenet), SIDES)
    print("COCO photos")
    small = find(network, of_coco(network, coco, SIDES[0]), SIDES)
    write(network, [
        Set("grids", "Grids of 2 × 2 photos", "Four photos of four classes that the network knows when it sees them "
            "alone, 224 px each: where is each? By chance 0.25 of everything.", grids, 448),
        Set("coco", "Photos with small objects", "COCO photos with one class asked whose boxes cover less than half of "
            "the photo, and not always one that the network names at all. By chance a map has the box's area.",
            small, SIDES[0]),
    ], judged, "make bench-faithful PHOTOS=FOLDER")
    return 0


if __name__ == "__main__":
    sys.exit(main())
