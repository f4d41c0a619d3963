"""A selection of a run's photos to take along: rows as CSV and Parquet, a contact sheet, a summary in HTML."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from PIL import Image, ImageDraw, ImageFont

from explorer.errors import ParameterError
from explorer.export.report import document
from explorer.folder.index import Index
from explorer.folder.sheets import tiles
from explorer.folder.summary import evidence_limit
from explorer.render import jpeg, png
from explorer.sections.folder import (
    calibration_table,
    class_table,
    confusion_matrix,
    mean_maps,
    overview,
    photo_caption,
)
from explorer.sections.nodes import clean, el, picture
from explorer.sections.parts import note, section

MOST_ROWS = 100_000
MOST_ON_SHEET = 60
_SIDE, _ACROSS, _LINE, _MARGIN = 200, 10, 15, 6  # px, photos, px, px


def rows_csv(index: Index, numbers: np.ndarray) -> bytes:
    """The rows of these photos without lists, with the names of both classes.

    Raises ParameterError: they are too many.
    """
    table, names = index.table(_checked(numbers)), index.run.classes["name"]
    plain = [field.name for field in table.schema if not pa.types.is_list(field.type)]
    named = table.select(plain).append_column("prediction", names.take(table["answer"])).append_column(
        "true_class", names.take(table["label_class"]))
    stream = io.BytesIO()
    pyarrow.csv.write_csv(named, stream)
    return stream.getvalue()


def rows_parquet(index: Index, numbers: np.ndarray) -> bytes:
    """The rows of these photos with all their columns. Raises ParameterError: they are too many."""
    stream = io.BytesIO()
    pyarrow.parquet.write_table(index.table(_checked(numbers)), stream, compression="zstd")
    return stream.getvalue()


def _checked(numbers: np.ndarray) -> np.ndarray:
    if len(numbers) > MOST_ROWS:
        raise ParameterError(f"The selection has {len(numbers):,} rows; expected at most {MOST_ROWS:,}: query the "
                             "run's own files with DuckDB, as docs/folder.md shows.")
    return numbers


def contact_sheet(index: Index, numbers: np.ndarray) -> Image.Image:
    """The first of these photos with their evidence, their predictions and labels below; RGB."""
    rows, names = index.rows(numbers[:MOST_ON_SHEET]), index.run.recipe["network"]["class_names"]
    pictures = tiles(index.run, rows, _SIDE, evidence_limit(index.run))
    cells = []
    for row, tile in zip(rows, pictures, strict=True):
        cell = Image.new("RGB", (_SIDE + _MARGIN, _SIDE + 3 * _LINE), "white")
        cell.paste(tile, ((_SIDE - tile.width) // 2, (_SIDE - tile.height) // 2))
        first, second, wrong, path = photo_caption(row, names)
        for line, (text, colour) in enumerate(((first, "#b2182b" if wrong else "black"), (second, "#555"),
                                               (path, "#888"))):
            _write(cell, str(text), _SIDE + line * _LINE, colour)
        cells.append(cell)
    if not cells:
        return Image.new("RGB", (_SIDE, _LINE), "white")
    across, down = min(_ACROSS, len(cells)), -(-len(cells) // _ACROSS)
    whole = Image.new("RGB", (across * cells[0].width, down * cells[0].height), "white")
    for n, cell in enumerate(cells):
        whole.paste(cell, (n % across * cell.width, n // across * cell.height))
    return whole


def _write(picture: Image.Image, text: str, top: int, colour: str) -> None:
    font, draw = ImageFont.load_default(11), ImageDraw.Draw(picture)
    text = clean(" ".join(text.split()))
    while text and draw.textlength(text, font) > _SIDE:
        text = text[:-2].rstrip("…") + "…" if len(text) > 2 else ""
    draw.text((0, top), text, fill=colour, font=font)


def contact_sheet_png(index: Index, numbers: np.ndarray) -> bytes:
    """The contact sheet as a PNG."""
    return png(contact_sheet(index, numbers))


def summary_html(index: Index, numbers: np.ndarray, selection: str) -> str:
    """One self-contained document: the run at a glance, its classes, and the photos selected.

    Args:
        selection: these photos in words.
    """
    run, network = index.run, index.run.recipe["network"]
    names = network["class_names"]
    header = el("header", el("p", f"PoolScope · {network['title']}", class_="name"), el("h1", run.photos.name),
                el("p", selection, class_="lead"))
    return document(f"{run.photos.name}, {network['title']}", header, [
        overview(run),
        section("Evidence and calibration", mean_maps(run), calibration_table(index)),
        section("Confusion", confusion_matrix(index, names)),
        section("Classes", class_table(index, names)),
        section("Photos", note(f"{selection}; the first {min(len(numbers), MOST_ON_SHEET):,} of {len(numbers):,}."),
                picture(jpeg(contact_sheet(index, numbers)), "Contact sheet")),
    ])
