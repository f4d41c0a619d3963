"""What ships under assets: each file's origin is written down, with its hash, and together they stay small."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

ASSETS = Path(__file__).resolve().parents[1] / "assets"
LICENCES = (ASSETS / "LICENSES.md").read_text(encoding="utf-8")
ROWS = {
    cells[0].strip("` "): [cell.strip(" `") for cell in cells[1:]]
    for cells in (line.strip("|").split("|") for line in LICENCES.splitlines() if line.startswith("| `"))
}
MUST_HAVE_A_HASH = {".safetensors", ".jpg", ".png", ".npz", ".woff2", ".ttf"}


def shipped() -> list[str]:
    files = (path for path in ASSETS.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sorted(path.relative_to(ASSETS).as_posix() for path in files)


def sha256(name: str) -> str:
    return hashlib.sha256((ASSETS / name).read_bytes()).hexdigest()


def test_every_file_is_listed_and_every_listed_file_is_there():
    assert sorted(ROWS) == shipped()


def test_every_file_has_an_author_and_a_licence():
    assert all(len(row) == 3 and row[0] and row[1] for row in ROWS.values())


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row[2]])
def test_a_listed_hash_is_the_files_own(name):
    assert ROWS[name][2] == sha256(name)


def test_binaries_and_photos_have_a_hash():
    without = [name for name in shipped() if Path(name).suffix in MUST_HAVE_A_HASH and not ROWS[name][2]]
    assert without == []


def test_every_licence_that_asks_for_its_text_ships_it():
    apache = (ASSETS / "licenses/Apache-2.0.txt").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in apache
    assert "END OF TERMS AND CONDITIONS" in apache
    bsd = (ASSETS / "licenses/torchvision-BSD-3-Clause.txt").read_text(encoding="utf-8")
    assert "BSD 3-Clause License" in bsd
    assert {row[1] for row in ROWS.values()} == {
        "Apache-2.0", "BSD-3-Clause", "CC0", "public domain", "the licence itself", "the project's own",
    }


def test_the_networks_card_and_the_licences_tell_the_same_hashes():
    card = json.loads((ASSETS / "efficientnet_lite0.json").read_text(encoding="utf-8"))
    assert card["sha256"] == ROWS["efficientnet_lite0.safetensors"][2]
    assert card["checkpoint_sha256"] in LICENCES
    assert card["checkpoint"] in LICENCES
    assert card["origin"] in LICENCES


def test_each_photos_statement_is_quoted():
    for photo in (name for name in shipped() if name.endswith(".jpg")):
        paragraph = re.search(rf"^- `{re.escape(photo)}`(.*?)(?=^- |\n\n[A-Z#])", LICENCES, re.MULTILINE | re.DOTALL)
        assert paragraph, photo
        assert re.search("CC0|public domain", paragraph[1]), photo


def test_no_path_of_anyones_machine_is_named():
    assert not re.search(r"(?<![\w.-])/(?:tmp|home|root|work|usr|Users)/", LICENCES)


def test_all_assets_together_stay_below_20_megabytes():
    assert sum((ASSETS / name).stat().st_size for name in shipped()) < 20_000_000
