"""A user's session: the photo, the choices, and the networks from the user's own files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import PurePath
from types import MappingProxyType
from typing import Any
from weakref import WeakSet

import streamlit as st
from PIL import Image

from explorer import render
from explorer.errors import ExplorerError
from explorer.framing import Preprocessing
from explorer.images import digest, read_image, read_with_range
from explorer.levels import Window
from explorer.networks import Network
from explorer.networks.loading.bundled import ASSETS
from explorer.poolings import PoolingChoice
from explorer.questions.cases import CASES, FRAMING, NETWORK
from explorer.ui.session.arguments import GIVEN, given
from explorer.ui.session.choices import OF_A_NETWORK, OF_A_PHOTO, PRESENTABLE, Choices
from explorer.ui.session.jobs import Job
from explorer.ui.session.open_runs import OpenRun

MOST_PHOTOS = 2  # photos of the user's own that a session keeps, so that Back returns to the one before
MOST_OWN = 2  # networks from the user's files that a session keeps: one to look at, one to compare it with
EXAMPLES = MappingProxyType({
    "astronaut": "An astronaut, taken for a football helmet",
    "cat_and_coffee": "A cat beside a coffee: two objects in one photo",
    "cat": "A cat",
    "coffee": "A cup of coffee",
    "photographer": "A photographer behind his tripod",
    "rocket": "A rocket at its launch",
})
# All bundled photos: the examples, and those that were drawn for a case.
PHOTOS = MappingProxyType({name: ASSETS / "examples" / f"{name}.jpg" for name in EXAMPLES}
                          | {key: case.file for key, case in CASES.items() if not case.example})


@dataclass(frozen=True)
class Photo:
    """A photo: its pixels, their digest, the example's name ("" for the user's own), and what people call it.

    Greys of more than 8 bits have a window, and their file, for another window. One of a run has its path there.
    """

    image: Image.Image
    digest: str
    example: str = ""
    title: str = ""
    window: Window | None = None
    file: bytes = b""
    item: str = ""

    @property
    def name(self) -> str:
        """What a link calls it."""
        return self.example or self.digest[:12]

    @property
    def stem(self) -> str:
        """What files about it are called: the example's name, or its own file's without the ending."""
        return self.example or PurePath(self.title).stem or self.name

    @cached_property
    def thumbnail(self) -> bytes:
        """Its middle, 128 x 128 px, as a JPEG."""
        side = min(self.image.size)
        left, top = (self.image.width - side) // 2, (self.image.height - side) // 2
        return render.jpeg(self.image.resize((128, 128), box=(left, top, left + side, top + side), reducing_gap=2.0))


@cache
def example_photo(name: str) -> Photo:
    """One of the bundled photos; `name` is a key of PHOTOS and nothing else."""
    image = read_image(PHOTOS[name])
    return Photo(image, digest(image), name, EXAMPLES.get(name, name))


@dataclass(frozen=True)
class Awaited:
    """A photo of a link that is not here: its name, a sentence, and the choices that are made once it is dropped in."""

    photo: str = ""
    sentence: str = ""
    choices: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Fitted:
    """The network that the choices fit: its name, its own pooling, and its classes."""

    name: str = ""
    native: PoolingChoice = Choices.pooling
    class_names: tuple[str, ...] = ()


@dataclass(eq=False)
class Session:
    """All that is kept for one user. Streamlit keeps it between runs and across pages, and drops it when they leave.

    Attributes:
        choices, photo: what is shown.
        uploads: the user's last own photos by their names; a link or the Back button may return to them.
        awaited: the photo of a link that is not here.
        browser, held: the browser's secret, and the names of photos and networks of its own that it held before.
        lined: whether the viewer draws contours, which files then have too.
        notices: sentences to show once.
        page: the title of the page it is on.
        own: networks from the user's files, by name; None for one that had to make room.
        edited: preprocessing that was put in place of a network's own, by the network's name.
        by_network: the choices that only one network has, as they were when another one was chosen, by its name.
        fitted: the network that the choices fit.
        good: the network that was shown last without trouble.
        picking: which network is being chosen in a dialog: "network", "against" or "" for none.
        stopped: the jobs that the user stopped.
        runs: those over photos that the user dropped in, by their names.
        settings: what the controls of the lessons that were left are set to, by the lesson's number.
    """

    choices: Choices = field(default_factory=Choices)
    photo: Photo = field(default_factory=lambda: example_photo(Choices.example))
    uploads: dict[str, Photo] = field(default_factory=dict)
    awaited: Awaited = field(default_factory=Awaited)
    browser: str = ""
    held: frozenset[str] = frozenset()
    lined: bool = False
    notices: list[str] = field(default_factory=list)
    page: str = ""
    own: dict[str, Network | None] = field(default_factory=dict)
    edited: dict[str, Preprocessing] = field(default_factory=dict)
    by_network: dict[str, dict[str, Any]] = field(default_factory=dict)
    fitted: Fitted = field(default_factory=Fitted)
    good: str = Choices.network
    picking: str = ""
    stopped: WeakSet[Job] = field(default_factory=WeakSet)
    runs: dict[str, OpenRun] = field(default_factory=dict)
    settings: dict[int, tuple[tuple[str, str], ...]] = field(default_factory=dict)

    def choose(self, **changes: Any) -> None:
        """Change some choices. With another network what was chosen for that one comes back."""
        network = changes.get("network", self.choices.network)
        if network != self.choices.network:
            if self.fitted.name == self.choices.network:
                self.by_network[self.fitted.name] = {name: getattr(self.choices, name) for name in OF_A_NETWORK}
            changes = self.by_network.get(network, {}) | changes
        self.choices = replace(self.choices, **changes)

    @property
    def presenting(self) -> bool:
        """Whether this is a talk; a page without a viewer has none."""
        return self.choices.present and self.page in PRESENTABLE

    def keep(self, name: str, network: Network) -> None:
        """Keep a network from the user's file; of more than two those in use stay."""
        self.edited.pop(name, None)
        self.own.pop(name, None)
        self.own[name] = network
        here = [name for name, network in self.own.items() if network is not None]
        in_use = (name, self.choices.network, self.choices.against)
        for old in sorted(here, key=in_use.__contains__)[: max(0, len(here) - MOST_OWN)]:
            self.own[old] = None

    def show_example(self, name: str) -> None:
        """Show an example, and clear the chosen class."""
        self.show(example_photo(name))

    def show_case(self, key: str) -> None:
        """Show a case as the sentences about it were written: by the bundled network, cropped."""
        case = CASES[key]
        self.show_example(case.example or key)
        self.choose(class_index=case.class_index, rival=case.rival, network=NETWORK, framing=FRAMING, size=None,
                    layer="", against="", pooling=Choices.pooling, ask=Choices.ask)

    def show_upload(self, data: bytes, title: str = "", window: Window | None = None) -> None:
        """Show the user's own photo; where it cannot be read, a notice says why and the last one stays.

        Greys of more than 8 bits are shown by a window, or their own range.
        """
        try:
            image, own = read_with_range(data, window)
        except ExplorerError as error:
            self.notices.append(f"{error} The last photo stays.")
            return
        self.show(Photo(image, digest(image), "", title, window or own, data if own else b""))

    def show(self, photo: Photo) -> None:
        """Show a photo, and clear the choices that belong to the last one; those of a link that awaits it are made."""
        of_photo = {"example": photo.example, "photo": "" if photo.example else photo.name, "item": photo.item}
        again = photo.name == self.photo.name and of_photo.items() <= vars(self.choices).items()
        self.photo = photo
        if not photo.example and not photo.item:  # those can be read again
            self.uploads.pop(photo.name, None)
            self.uploads[photo.name] = photo
            for old in list(self.uploads)[:-MOST_PHOTOS]:
                del self.uploads[old]
        if again:  # the same pixels, perhaps under another name: what was chosen for them stays
            return
        self.choose(**of_photo, **OF_A_PHOTO)
        for kept in self.by_network.values():
            kept.update(OF_A_PHOTO)
        if photo.name == self.awaited.photo:
            self.notices = [sentence for sentence in self.notices if sentence != self.awaited.sentence]
            self.choose(**self.awaited.choices)
            self.awaited = Awaited()

    def take_notices(self) -> list[str]:
        """The sentences to show once."""
        notices, self.notices = self.notices, []
        return notices


def session_on(page: str) -> Session:
    """The user's session, on the page of that title."""
    if "poolscope" not in st.session_state:
        arguments, wrong = given()
        st.session_state["poolscope"] = Session(
            Choices(network=GIVEN if arguments.given else Choices.network), notices=[wrong] if wrong else [])
    session: Session = st.session_state["poolscope"]
    session.page = page
    return session
