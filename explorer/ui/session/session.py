"""A user's session: the photo, the choices, and the networks from the user's own files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from types import MappingProxyType
from typing import Any
from weakref import WeakSet

import streamlit as st
from PIL import Image

from explorer.errors import ExplorerError
from explorer.framing import Preprocessing
from explorer.images import digest, grey_range, read_image
from explorer.levels import Window
from explorer.networks import Network
from explorer.networks.loading.bundled import ASSETS
from explorer.poolings import PoolingChoice
from explorer.questions.cases import CASES, FRAMING, NETWORK
from explorer.ui.session.arguments import GIVEN, given
from explorer.ui.session.choices import OF_A_NETWORK, OF_A_PHOTO, PRESENTABLE, Choices
from explorer.ui.session.jobs import Job

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
    """A photo: its pixels, their digest, the example's name ("" for the user's own), and the window of greys of more
    than 8 bits."""

    image: Image.Image
    digest: str
    example: str = ""
    window: Window | None = None

    @property
    def name(self) -> str:
        """What a link calls it."""
        return self.example or self.digest[:12]


@cache
def example_photo(name: str) -> Photo:
    """One of the bundled photos; `name` is a key of PHOTOS and nothing else."""
    image = read_image(PHOTOS[name])
    return Photo(image, digest(image), name)


@dataclass(frozen=True)
class Fitted:
    """The network that the choices fit: its name, its own pooling, and its classes."""

    name: str = ""
    native: PoolingChoice = Choices.pooling
    class_names: tuple[str, ...] = ()


@dataclass
class Session:
    """All that is kept for one user. Streamlit keeps it between runs and across pages, and drops it when they leave.

    Attributes:
        choices, photo: what is shown.
        upload: the user's last own photo; a link or the Back button may return to it.
        deep: its file, where it has more than 8 bits and another window may be wanted.
        awaited: the name of a photo that a link shows and that is not here; its class is kept until it is dropped in.
        searched: the class that was last searched for by its name.
        notices: sentences to show once.
        page: the title of the page it is on.
        own: networks from the user's files, by name; None for one that had to make room.
        edited: preprocessing that was put in place of a network's own, by the network's name.
        by_network: the choices that only one network has, as they were when another one was chosen, by its name.
        fitted: the network that the choices fit.
        good: the network that was shown last without trouble.
        picking: which network is being chosen in a dialog: "network", "against" or "" for none.
        stopped: the jobs that the user stopped.
        settings: what the controls of the lessons that were left are set to, by the lesson's number.
    """

    choices: Choices = field(default_factory=Choices)
    photo: Photo = field(default_factory=lambda: example_photo(Choices.example))
    upload: Photo | None = None
    deep: bytes = b""
    awaited: str = ""
    searched: int | None = None
    notices: list[str] = field(default_factory=list)
    page: str = ""
    own: dict[str, Network | None] = field(default_factory=dict)
    edited: dict[str, Preprocessing] = field(default_factory=dict)
    by_network: dict[str, dict[str, Any]] = field(default_factory=dict)
    fitted: Fitted = field(default_factory=Fitted)
    good: str = Choices.network
    picking: str = ""
    stopped: WeakSet[Job] = field(default_factory=WeakSet)
    settings: dict[int, tuple[tuple[str, str], ...]] = field(default_factory=dict)

    def choose(self, **changes: Any) -> None:
        """Change some choices. With another network what was chosen for that one comes back."""
        network = changes.get("network", self.choices.network)
        if network != self.choices.network:
            if self.fitted.name == self.choices.network:
                self.by_network[self.fitted.name] = {name: getattr(self.choices, name) for name in OF_A_NETWORK}
            changes = self.by_network.get(network, {}) | changes
        self.choices = replace(self.choices, **changes)

    def search(self, class_index: int | None) -> None:
        """A class was searched for by its name, or the name was cleared: then what is shown stays."""
        self.searched = class_index
        if class_index is not None:
            self.choose(class_index=class_index)

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

    def show_upload(self, data: bytes, window: Window | None = None) -> None:
        """Show the user's own photo; where it cannot be read, a notice says why and the last one stays.

        Greys of more than 8 bits are shown by a window, or their own range.
        """
        try:
            image = read_image(data, window)
            own = grey_range(data)
        except ExplorerError as error:
            self.notices.append(f"{error} The last photo stays.")
            return
        self.upload = Photo(image, digest(image), window=window or own)
        self.deep = data if own else b""
        if self.upload.name == self.awaited:  # a link showed it: the link's other choices stay
            self.photo = self.upload
            self.choose(example="", photo=self.upload.name)
        else:
            self.show(self.upload)

    def show(self, photo: Photo) -> None:
        """Show a photo, and clear the choices that belong to the last one."""
        self.photo = photo
        self.choose(example=photo.example, photo="" if photo.example else photo.name, **OF_A_PHOTO)
        for kept in self.by_network.values():
            kept.update(OF_A_PHOTO)

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
