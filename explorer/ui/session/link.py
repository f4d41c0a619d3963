"""The link to what is shown: which choices it carries on which page, and how each is written and read.

A link is typed, shared and mistyped by people, so what cannot be read is answered with a sentence and left as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from explorer.cams import CAM_METHODS
from explorer.errors import ExplorerError
from explorer.framing import FRAMINGS, LARGEST_OWN, Preprocessing
from explorer.lessons.catalogue import LESSONS
from explorer.networks import BUNDLED
from explorer.networks.loading.known_networks import SOURCES, identify
from explorer.poolings import POOLINGS, Pooling, parse_pooling
from explorer.questions.channel_table import KINDS, RANKINGS
from explorer.ui.session.arguments import GIVEN

OWN_FILE = "file-"  # what links call a person's own network begins so; the first digits of the file's digest follow
FEWEST, MOST = 2, 4  # poolings beside each other
MAP_KINDS = {"evidence": "Evidence", "cams": "CAM methods", "votes": "Votes",
             "attention": "Class token's attention"}
LARGEST_BOX = 95  # percent of the maximum
MOST_CLASSES = 5
QUESTIONS = {"against": "A against B", "without": "Without this part", "flip": "What flips it",
             "object": "Object or background", "trust": "How far to trust it", "stable": "How stable it is",
             "finer": "Finer"}
STAGES = ("Explore", "Feature maps", "Poolings", "Activation maps", "Why", "Lessons")  # pages that can be presented
_STEP = 32  # px between the sizes to choose from, or the next multiple of the network's stride
_OWN_FILE = re.compile(OWN_FILE + "[0-9a-f]{12}")
_LAYER = re.compile(r"[A-Za-z0-9_.]{1,120}")
_SETTINGS = re.compile(r"[a-z_]{1,20}:[A-Za-z0-9_.+-]{1,40}(,[a-z_]{1,20}:[A-Za-z0-9_.+-]{1,40}){0,5}")
_VIEW = re.compile(r"[A-Za-z0-9_.-]{0,120}")  # what the viewer writes there itself, see viewer.js


@dataclass(frozen=True)
class Choices:
    """All that a link carries.

    Attributes:
        network, example, photo, framing, size, calibrated: what is analysed; one of example and photo is "". A size of
            None is the network's own.
        against: a second network, that is shown the same photo; "" for none.
        layer: whose maps are looked at; "" for the final feature maps.
        class_index: None means the answer itself, whatever it is.
        pooling: with its parameter, as in "gem:p=4".
        region: positions chosen on the photo: first row and column, last row and column.
        present: for a talk.
        rank, show, channel, beside: Feature maps: order and kind of the wall's channels, the one on its card (None:
            the first of the wall) and one to compare it with.
        poolings, pair, path: Poolings: those side by side, places in them of the two compared, and whose parameter
            is followed.
        maps, classes, methods, box: Activation maps: what is shown, of which classes (none: the likeliest three), by
            which CAM methods, and the share of the maximum, in percent, from which a position is in the box.
        rival, ask: Why: the class that is compared with (None: the likeliest other one), and which question is asked.
        lesson, settings: Lessons: its number, and what its controls were put to, by their names.
    """

    network: str = "efficientnet_lite0"
    example: str = "astronaut"
    photo: str = ""
    class_index: int | None = None
    pooling: str = "gap"
    framing: str = "crop"
    size: int | None = None
    calibrated: bool = True
    against: str = ""
    layer: str = ""
    region: tuple[int, int, int, int] | None = None
    present: bool = False
    rank: str = "contribution"
    show: str = "all"
    channel: int | None = None
    beside: int | None = None
    poolings: tuple[str, ...] = ("gap", "gmp", "attention")
    pair: tuple[int, ...] = (0, 1)
    path: str = "gem"
    maps: str = "evidence"
    classes: tuple[int, ...] = ()
    methods: tuple[str, ...] = ("cam", "grad_cam", "layer_cam")
    box: int = 20
    rival: int | None = None
    ask: str = "against"
    lesson: int = 1
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Field:
    """One choice in a link: of the pages of those titles, or of all; `always` writes it when it is usual too."""

    name: str
    read: Callable[[str], Any]
    write: Callable[[Any], str] = str
    pages: tuple[str, ...] = ()
    always: bool = False

    def is_on(self, page: str) -> bool:
        """Whether links to the page carry it."""
        return not self.pages or page in self.pages


def _one_of(allowed: Mapping[str, object] | tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(text)
        return text

    return read


def _pooling(text: str) -> str:
    """However the number was written: "gem:p=4.0" is "gem:p=4". It stays where it is the usual one: of which network
    is not known yet, see explorer.ui.networks.session_network."""
    key, parameters = parse_pooling(text)
    return POOLINGS[key].written(**parameters) if parameters else key


def written(key: str, parameters: Mapping[str, float], poolings: Mapping[str, Pooling] = POOLINGS) -> str:
    """A pooling for a choice, in its one form: its parameter is left out where it is the usual one.

    `poolings` are those of the network: what is usual there is what it was trained with.
    """
    if key not in poolings:  # a network's own, which has no parameter
        return key
    pooling = poolings[key]
    usual = pooling.parameter is None or pooling.resolve(dict(parameters)) == pooling.resolve({})
    return key if usual else pooling.written(**parameters)


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,8}", text):
        raise ValueError(text)
    return int(text)


def _several(read: Callable[[str], Any], least: int, most: int, different: bool = True) -> Callable[[str], tuple]:
    def read_all(text: str) -> tuple:
        found = tuple(read(part) for part in text.split(","))
        if different:
            found = tuple(dict.fromkeys(found))
        if not least <= len(found) <= most:
            raise ValueError(text)
        return found

    return read_all


def _region(text: str) -> tuple[int, ...]:
    top, left, bottom, right = _several(_number, 4, 4, different=False)(text)
    if top > bottom or left > right:
        raise ValueError(text)
    return top, left, bottom, right


def _percent(text: str) -> int:
    if not 1 <= _number(text) <= LARGEST_BOX:
        raise ValueError(text)
    return int(text)


def _network(text: str) -> str:
    """In its one form: of timm's networks with the tag of its weights."""
    if text in BUNDLED or text == GIVEN or _OWN_FILE.fullmatch(text):
        return text
    if text.partition("/")[0] not in SOURCES:
        raise ValueError(text)
    return identify(text).name


def _size(text: str) -> int:
    if not 1 <= _number(text) <= LARGEST_OWN or text.startswith("0"):
        raise ValueError(text)
    return int(text)


def sizes_of(preprocessing: Preprocessing) -> tuple[int, ...]:
    """The short sides of an input to choose from: multiples of the network's stride, and its own."""
    low, high = preprocessing.sides
    step = preprocessing.stride * -(-_STEP // preprocessing.stride)
    return tuple(sorted({*(side for side in range(step, high + 1, step) if side >= low), preprocessing.size}))


def _layer(text: str) -> str:
    if not _LAYER.fullmatch(text):
        raise ValueError(text)
    return text


def _settings(text: str) -> tuple[tuple[str, str], ...]:
    """As in "window:3,stride:2"; whether there are such is for the lesson to say."""
    if not _SETTINGS.fullmatch(text):
        raise ValueError(text)
    return tuple(tuple(part.split(":")) for part in text.split(","))


def _joined(values: tuple) -> str:
    return ",".join(str(value) for value in values)


def _switch(name: str, **more: Any) -> Field:
    return Field(name, lambda text: _one_of(("0", "1"))(text) == "1", lambda value: str(int(value)), **more)


FIELDS = (
    Field("network", _network, always=True),
    Field("pooling", _pooling, always=True),
    Field("framing", _one_of(FRAMINGS), always=True),
    Field("size", _size, always=True),
    _switch("calibrated", always=True),
    Field("against", _network),
    Field("layer", _layer),
    Field("region", _region, _joined),
    _switch("present", pages=STAGES),
    Field("rank", _one_of(RANKINGS), pages=("Feature maps",)),
    Field("show", _one_of(KINDS), pages=("Feature maps",)),
    Field("channel", _number, pages=("Feature maps", "Poolings")),
    Field("beside", _number, pages=("Feature maps",)),
    Field("poolings", _several(_pooling, FEWEST, MOST), _joined, pages=("Poolings", "Activation maps", "Why")),
    Field("pair", _several(lambda text: int(_one_of(("0", "1", "2", "3"))(text)), 2, 2), _joined, pages=("Poolings",)),
    Field("path", _one_of(tuple(key for key, each in POOLINGS.items() if each.parameter)), pages=("Poolings",)),
    Field("maps", _one_of(MAP_KINDS), pages=("Activation maps",)),
    Field("classes", _several(_number, 1, MOST_CLASSES), _joined, pages=("Activation maps",)),
    Field("methods", _several(_one_of(CAM_METHODS), 1, MOST), _joined, pages=("Activation maps",)),
    Field("box", _percent, pages=("Activation maps",)),
    Field("rival", _number, pages=("Why",)),
    Field("ask", _one_of(QUESTIONS), pages=("Why",)),
    Field("lesson", lambda text: int(_one_of(tuple(map(str, LESSONS)))(text)), pages=("Lessons",)),
    Field("settings", _settings, lambda found: ",".join(map(":".join, found)), pages=("Lessons",)),
)


def as_query(choices: Choices, class_index: int, page: str = "", view: str = "") -> dict[str, str]:
    """The link to what is shown on a page: what every page says, and of the rest what is not usual."""
    usual = Choices()
    query = {}
    for field in FIELDS:
        value = getattr(choices, field.name)
        if value is not None and (field.always or (field.is_on(page) and value != getattr(usual, field.name))):
            query[field.name] = field.write(value)
        if field.name == "network":
            query |= {"example": choices.example} if choices.example else {"photo": choices.photo}
            query["class"] = str(class_index)
    return query | ({"view": view} if view else {})


def read(asked: Mapping[str, str], page: str, choices: Choices) -> tuple[dict[str, Any], list[str]]:
    """What a link asks for besides photo and class, and a sentence for each part of it that cannot be had.

    What a link leaves out stays as it is, or is usual where links leave out what is usual.
    """
    found, sentences = {}, []
    now, usual = as_query(choices, 0, page), Choices()
    for field in FIELDS:
        if not field.is_on(page):
            continue
        if field.name not in asked:
            if not field.always:
                found[field.name] = getattr(usual, field.name)
            continue
        try:
            found[field.name] = field.read(asked[field.name])
        except (ValueError, ExplorerError):
            instead = f"{now[field.name]} is shown" if field.name in now else "the usual is shown"
            sentences.append(f"The link asks for {field.name} “{asked[field.name][:40]}”, which does not exist; "
                             f"{instead}.")
    return found, sentences


def read_view(text: str) -> str:
    """What the viewer wrote into the link for itself; "" for anything that it cannot have written."""
    return text if _VIEW.fullmatch(text) else ""
