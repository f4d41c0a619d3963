"""A live page: photos by one network in one HTML file, whose answers the browser computes anew at every choice.

It asks for nothing from outside, and runs from a disk or from any host of files. docs/live.md says what it holds.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from explorer import render
from explorer.analysis import Analysis, Outcome
from explorer.errors import ParameterError
from explorer.export.recipe import recipe, recipe_json
from explorer.export.strict_json import finite, versions
from explorer.images import digest
from explorer.live.data import network_data, photo_data
from explorer.live.scripts import PANEL, read
from explorer.networks import Network
from explorer.poolings import parse_pooling
from explorer.questions.intervention import Intervention
from explorer.sections.nodes import DOCUMENT_STYLE, Node, Raw, data_uri, el
from explorer.sections.parts import facts

MOST_PHOTOS = 24
POLICY = "default-src 'none'; script-src 'sha256-{hash}'; style-src 'unsafe-inline'; img-src data: blob:"
_THUMBNAIL = 112  # px: twice what it has on the page
_NO_SCRIPT = "This page computes its numbers in the browser, and needs JavaScript."


@dataclass(frozen=True)
class Beginning:
    """What a live page shows first; a reader may choose anything else.

    Attributes:
        class_index: None for the prediction.
        pooling: a key, with its parameter where that is not the usual one, as "gem:p=4"; "" for the native one.
        calibrated: multiply the logits of what-ifs by their fitted number.
        change: of channels and positions, as `Intervention.parse` reads it.
    """

    class_index: int | None = None
    pooling: str = ""
    calibrated: bool = True
    change: str = ""

    def outcome(self, analysis: Analysis) -> Outcome:
        """Without the change. Raises MethodError or ParameterError where there is no such pooling."""
        key, parameters = parse_pooling(self.pooling) if self.pooling else (None, {})
        return analysis.under(key, **parameters)

    def data(self, network: Network) -> dict[str, Any]:
        """As page.js reads it. Raises ExplorerError: the network has no such class or pooling."""
        if self.class_index is not None:
            network.check_class(self.class_index)
        key, parameters = parse_pooling(self.pooling) if self.pooling else (None, {})
        value = next(iter(network.pooling_of(key).resolve(parameters).values()), None) if key and parameters else None
        return {"c": self.class_index, "pooling": key, "parameter": value, "calibrated": self.calibrated,
                "change": str(Intervention.parse(self.change))}


@dataclass(frozen=True)
class Part:
    """What a page holds of one photo.

    Attributes:
        about: its key, name and thumbnail, for the strip.
        text: the rest as JSON, which is read once the photo is shown.
    """

    about: dict[str, Any]
    text: str


def live_page(
    analyses: Sequence[Analysis], names: Sequence[str], *, class_index: int | None = None, pooling: str = "",
    calibrated: bool = True, change: str = "", photos: bool = True,
) -> str:
    """One self-contained HTML document.

    Args:
        analyses: of one photo or more, by one network.
        names: what readers see each photo called.
        class_index, pooling, calibrated, change: what is shown first, as in `Beginning`.
        photos: whether the photos are in it; else their maps lie on grey.

    Raises:
        ParameterError: there is no photo, or more than 24, or they are by several networks; no such class or pooling;
            feature maps are changed already.
        MethodError: there is no evidence.
    """
    networks = {analysis.network.digest: analysis.network for analysis in analyses}
    if len(networks) > 1:
        raise ParameterError(f"A live page is of one network; expected photos by one, got {len(networks)}.")
    beginning = Beginning(class_index, pooling, calibrated, change)
    for network in networks.values():
        beginning.data(network)  # before the photos, which take their time
    parts = (part(analysis, name, beginning, photos) for analysis, name in zip(analyses, names, strict=True))
    return page_of(next(iter(networks.values()), None), parts, beginning)


def part(analysis: Analysis, name: str, beginning: Beginning, photo: bool = True) -> Part:
    """A photo for `page_of`. Raises MethodError where there is no evidence, ParameterError for changed feature maps."""
    if analysis.change:
        raise ParameterError("These feature maps are changed already; expected those that the network gave, and the "
                             "change beside them.")
    outcome = beginning.outcome(analysis)
    class_index = beginning.class_index
    data = photo_data(analysis, photo, () if class_index is None else (class_index,))
    shown = outcome.top(1)[0].class_index if class_index is None else class_index
    thumbnail = data_uri(render.jpeg(analysis.preview(_THUMBNAIL)[0], 80)) if photo else ""
    about = {"key": digest(analysis.image)[:16], "name": name, "thumbnail": thumbnail}
    return Part(about, _json(data | {"recipe": recipe_json(recipe(outcome, shown, beginning.calibrated))}))


def page_of(network: Network | None, parts: Iterable[Part], beginning: Beginning) -> str:
    """The document of these photos by a network. Raises ParameterError: there is none, or there are too many."""
    made = list(parts)
    if network is None or not 1 <= len(made) <= MOST_PHOTOS:
        raise ParameterError(f"A live page has 1 to {MOST_PHOTOS} photos; got {len(made)}.")
    about = {"state": beginning.data(network), "photos": [one.about for one in made]}
    title = made[0].about["name"] if len(made) == 1 else f"{len(made)} photos"
    script = live_script()
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=POLICY.format(hash=_sha256(script))),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", f"{title}, {network.title}"),
        el("style", Raw(DOCUMENT_STYLE.read_text(encoding="utf-8") + read("viewer.css", "panel.css", "page.css"))),
    )
    body = el(
        "body", _header(network, made[0].about["name"]), el("main", el("div", class_="skeleton"), id="panel"),
        _footer(network),
        _data("about", _json(about)), _data("network", _json(network_data(network))),
        *(_data(f"photo-{n}", one.text) for n, one in enumerate(made)),
        el("script", Raw(script)),
    )
    return f"<!DOCTYPE html>\n{el('html', head, body, lang='en').markup()}\n"


def live_script() -> str:
    """The script of every live page. Its link keeps what is chosen behind its "#"."""
    shared, *others = PANEL
    return "".join((read(shared), "page.hashed = true;\n", read(*others, "page.js")))


def _header(network: Network, name: str) -> Node:
    return el(
        "header",
        el("div", el("p", f"PoolScope · {network.title}", class_="name"), el("div", id="buttons"), class_="line"),
        el("h1", name, id="photo"),
        el("p", id="notice", role="status"),
        el("noscript", el("p", _NO_SCRIPT)),
        el("nav", id="strip", aria_label="Photos", hidden=""),
        el("dl", id="keys", hidden=""),
    )


def _footer(network: Network) -> Node:
    made_with = ", ".join(f"{what} {version}" for what, version in versions().items())
    return el(
        "footer",
        el("p", id="exactness"),
        facts({"Network": f"{network.title} ({network.origin})", "Weights, sha256": network.digest,
               "Made with": made_with}.items()),
        el("details", el("summary", "The recipe of this photo, as the page was made"),
           el("p", "With the same photo it repeats Python's numbers: ",
              el("code", "python -m explorer photo.jpg --recipe recipe.json --live"), " ",
              el("a", "Keep it as recipe.json", id="keep", download="recipe.json")),
           el("pre", id="recipe", tabindex="0")),
    )


def _data(name: str, text: str) -> Node:
    """JSON that no browser runs."""
    return el("script", Raw(text), type="application/json", id=name)


def _json(data: dict[str, Any]) -> str:
    """ASCII, in which no name can end the element that it stands in."""
    return json.dumps(finite(data), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
