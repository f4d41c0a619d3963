"""The link to what is shown: which choices it carries on which page, and how each is written and read.

A link is typed, shared and mistyped by people, so what cannot be read is answered with a sentence and left as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from explorer.cams import CAM_METHODS
from explorer.errors import ExplorerError
from explorer.folder.parts import FEWEST as FEWEST_PARTS
from explorer.folder.parts import MOST as MOST_PARTS
from explorer.folder.selection import OUTCOMES, SORTS
from explorer.framing import FRAMINGS, LARGEST_OWN
from explorer.lessons.catalogue import LESSONS
from explorer.networks import BUNDLED
from explorer.networks.loading.known_networks import SOURCES, identify
from explorer.poolings import POOLINGS, PoolingChoice
from explorer.questions.channel_table import KINDS, RANKINGS
from explorer.questions.intervention import Intervention
from explorer.ui.session.arguments import GIVEN
from explorer.ui.session.choices import (
    FEWEST,
    LARGEST_BOX,
    MAP_KINDS,
    MOST,
    MOST_CLASSES,
    OWN_FILE,
    PARTS,
    PRESENTABLE,
    QUESTIONS,
    Choices,
)

_OWN_FILE = re.compile(OWN_FILE + r"[0-9a-f]{12}(-\w{1,80})?")
_LAYER = r"[A-Za-z0-9_.]{1,120}"
_SETTINGS = r"[a-z_]{1,20}:[A-Za-z0-9_.+-]{1,40}(,[a-z_]{1,20}:[A-Za-z0-9_.+-]{1,40}){0,5}"
_RUN = r"[\w .()-]{1,80}"
_WITH_PANEL = ("Explore", "Feature maps")
_VIEW = re.compile(r"[A-Za-z0-9_.-]{0,120}")  # what the viewer writes there itself, see viewer.js


@dataclass(frozen=True)
class Field:
    """One choice in a link: of the pages of those titles, or of all; `always` writes it when it is usual too.

    With `of_item` it is also of every page that shows a photo of a run.
    """

    name: str
    read: Callable[[str], Any]
    write: Callable[[Any], str] = str
    pages: tuple[str, ...] = ()
    always: bool = False
    of_item: bool = False

    def is_on(self, page: str, has_item: bool = False) -> bool:
        """Whether links to the page carry it, where that shows a photo of a run or does not."""
        return not self.pages or page in self.pages or (self.of_item and has_item)


def _one_of(allowed: Collection[str]) -> Callable[[str], str]:
    return lambda text: text if text in allowed else _refuse(text)


def _like(pattern: str) -> Callable[[str], str]:
    matches = re.compile(pattern).fullmatch
    return lambda text: text if matches(text) else _refuse(text)


def _whole(low: int = 0, high: int = 99_999_999) -> Callable[[str], int]:
    digits = _like("[0-9]{1,8}")
    return lambda text: int(text) if low <= int(digits(text)) <= high else _refuse(text)


def _several(read: Callable[[str], Any], least: int, most: int) -> Callable[[str], tuple]:
    """Parts between commas, each once."""
    def read_all(text: str) -> tuple:
        parts = tuple(dict.fromkeys(map(read, text.split(","))))
        return parts if least <= len(parts) <= most else _refuse(text)

    return read_all


def _refuse(text: str) -> NoReturn:
    raise ValueError(text)


def _region(text: str) -> tuple[int, ...]:
    top, left, bottom, right = map(_whole(), text.split(","))
    return (top, left, bottom, right) if top <= bottom and left <= right else _refuse(text)


def _network(text: str) -> str:
    """In its one form: of timm's networks with the tag of its weights."""
    if text in BUNDLED or text == GIVEN or _OWN_FILE.fullmatch(text):
        return text
    return identify(text).name if text.partition("/")[0] in SOURCES else _refuse(text)


def _settings(text: str) -> tuple[tuple[str, str], ...]:
    """As in "window:3,stride:2"; the lesson checks whether they exist."""
    parts = (part.partition(":") for part in _like(_SETTINGS)(text).split(","))
    return tuple((name, value) for name, _, value in parts)


def _joined(values: tuple) -> str:
    return ",".join(str(value) for value in values)


def _switch(name: str, **more: Any) -> Field:
    return Field(name, lambda text: _one_of(("0", "1"))(text) == "1", lambda value: str(int(value)), **more)


FIELDS = (
    Field("network", _network, always=True),
    Field("pooling", PoolingChoice.parse, always=True),
    Field("framing", _one_of(FRAMINGS), always=True),
    Field("size", _whole(1, LARGEST_OWN), always=True),
    _switch("calibrated", always=True),
    Field("truth", _whole()),
    Field("against", _network),
    Field("layer", _like(_LAYER)),
    Field("region", _region, _joined),
    _switch("present", pages=PRESENTABLE),
    Field("rank", _one_of(RANKINGS), pages=("Feature maps",)),
    Field("show", _one_of(KINDS), pages=("Feature maps",)),
    Field("channel", _whole(), pages=("Feature maps", "Poolings")),
    Field("beside", _whole(), pages=("Feature maps",)),
    Field("change", lambda text: str(Intervention.parse(text)), pages=_WITH_PANEL),
    _switch("intervene", pages=_WITH_PANEL),
    Field("poolings", _several(PoolingChoice.parse, FEWEST, MOST), _joined,
          pages=("Poolings", "Activation maps", "Why")),
    Field("pair", _several(lambda text: int(_one_of(("0", "1", "2", "3"))(text)), 2, 2), _joined, pages=("Poolings",)),
    Field("path", _one_of([key for key, pooling in POOLINGS.items() if pooling.parameter]), pages=("Poolings",)),
    Field("maps", _one_of(MAP_KINDS), pages=("Activation maps",)),
    Field("classes", _several(_whole(), 1, MOST_CLASSES), _joined, pages=("Activation maps",)),
    Field("methods", _several(_one_of(CAM_METHODS), 1, MOST), _joined, pages=("Activation maps",)),
    Field("box", _whole(1, LARGEST_BOX), pages=("Activation maps",)),
    Field("rival", _whole(), pages=("Why",)),
    Field("ask", _one_of(QUESTIONS), pages=("Why",)),
    Field("lesson", lambda text: int(_one_of([*map(str, LESSONS)])(text)), pages=("Lessons",)),
    Field("settings", _settings, lambda settings: ",".join(map(":".join, settings)), pages=("Lessons",)),
    Field("part", _one_of(PARTS), pages=("Folder",), of_item=True),
    Field("cause_of", _whole(), pages=("Folder",), of_item=True),
    Field("cause_against", _whole(), pages=("Folder",), of_item=True),
    Field("parts", _whole(FEWEST_PARTS, MOST_PARTS), pages=("Folder",), of_item=True),
    Field("muted", _several(_whole(0, MOST_PARTS - 1), 1, MOST_PARTS), _joined, pages=("Folder",),
          of_item=True),
    Field("strength", _whole(0, 100), pages=("Folder",), of_item=True),
    _switch("everywhere", pages=("Folder",), of_item=True),
    _switch("give_back", pages=("Folder",), of_item=True),
    *(Field(name, read, pages=("Folder",), of_item=True) for name, read in (
        ("run", _like(_RUN)), ("beside_run", _like(_RUN)), ("sort", _one_of(SORTS)), ("outcome", _one_of(OUTCOMES)),
        ("label", _whole()), ("predicted", _whole()))),
)


def as_query(choices: Choices, class_index: int, page: str = "", view: str = "") -> dict[str, str]:
    """The link to what is shown on a page: what every page says, and of the rest what is not usual."""
    usual = Choices()
    query = {}
    for field in FIELDS:
        value = getattr(choices, field.name)
        on = field.is_on(page, bool(choices.item))
        if value is not None and (field.always or (on and value != getattr(usual, field.name))):
            query[field.name] = field.write(value)
        if field.name == "network":
            query |= ({"example": choices.example} if choices.example else
                      {"item": choices.item} if choices.item else {"photo": choices.photo})
            query["class"] = str(class_index)
    return query | ({"view": view} if view else {})


def read(query: Mapping[str, str], page: str, choices: Choices) -> tuple[dict[str, Any], list[str]]:
    """The choices that a link makes besides photo and class, and a sentence for each that cannot be made.

    What a link leaves out stays as it is, or is usual where links leave out what is usual.
    """
    changes, sentences = {}, []
    now, usual = as_query(choices, 0, page), Choices()
    for field in FIELDS:
        if not field.is_on(page, "item" in query):
            continue
        if field.name not in query:
            if not field.always:
                changes[field.name] = getattr(usual, field.name)
            continue
        try:
            changes[field.name] = field.read(query[field.name])
        except (ValueError, ExplorerError):
            sentences.append(f"The link asks for {field.name} “{query[field.name][:40]}”, which does not exist; "
                             f"{now.get(field.name, 'the usual')} is shown.")
    return changes, sentences


def read_view(text: str) -> str:
    """What the viewer wrote into the link for itself; "" for anything that it cannot have written."""
    return text if _VIEW.fullmatch(text) else ""
