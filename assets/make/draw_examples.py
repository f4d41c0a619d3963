"""Make the example photos and the composite from the free photos inside the scikit-image wheel.

    pip download --no-deps scikit-image==0.26.0
    unzip scikit_image-0.26.0-*.whl 'skimage/data/*'
    python assets/make/draw_examples.py skimage/data

Writes assets/examples/*.jpg. Their licences are in assets/LICENSES.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SOURCES = {
    "astronaut": "astronaut.png", "cat": "chelsea.png", "coffee": "coffee.png",
    "photographer": "camera.png", "rocket": "rocket.jpg",
}


def draw(folder: Path) -> None:
    photos = {name: Image.open(folder / file).convert("RGB") for name, file in SOURCES.items()}
    photos["cat_and_coffee"] = side_by_side(photos["cat"], photos["coffee"])
    for name, photo in photos.items():
        photo.save(EXAMPLES / f"{name}.jpg", quality=95, subsampling=0, optimize=True)
    # Already a JPEG: a second compression would change what the network says.
    (EXAMPLES / "rocket.jpg").write_bytes((folder / SOURCES["rocket"]).read_bytes())


def side_by_side(left: Image.Image, right: Image.Image, height: int = 400) -> Image.Image:
    """Two photos at one height, a cut out of each so that a central crop keeps both."""
    halves = [photo.resize((round(photo.width * height / photo.height), height), Image.Resampling.LANCZOS)
              for photo in (left, right)]
    width = 300
    both = Image.new("RGB", (2 * width, height))
    for n, half in enumerate(halves):
        start = (half.width - width) // 2
        both.paste(half.crop((start, 0, start + width, height)), (n * width, 0))
    return both


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
