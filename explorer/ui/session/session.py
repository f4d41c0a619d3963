"""What a person has chosen: kept for the session, written to the page's URL and read back from it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

import streamlit as st
from PIL import Image

from explorer.errors import ExplorerError
from explorer.framing import Preprocessing
from explorer.images import digest, read_image
from explorer.networks.loading.bundled import ASSETS
from explorer.poolings import PoolingChoice
from explorer.questions.cases import CASES, FRAMING, NETWORK
from explorer.ui.session.arguments import GIVEN, given
from explorer.ui.session.choices import OWN_FILE, STAGES, Choices
from explorer.ui.session.link import as_query, read, read_view
from explorer.ui.session.network_cache import NetworkRequest

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
    """The photo on the table: its pixels, their digest, and the example's name ("" for a person's own photo)."""

    image: Image.Image
    digest: str
    example: str = ""

    @property
    def name(self) -> str:
        """What a link calls it."""
        return self.example or self.digest[:12]


@dataclass(frozen=True)
class Fitted:
    """What the choices fit: a network's name, its size, its own pooling as links spell it, and its classes."""

    name: str = ""
    size: int = 0
    native: PoolingChoice = Choices.pooling
    class_names: tuple[str, ...] = ()


@dataclass
class Session:
    """One person's table. Streamlit keeps it between runs and across pages.

    Attributes:
        choices, photo: what is shown.
        upload: the last photo of their own; a link or the Back button may return to it.
        awaited: the photo that a link asked for and that is not here; its class is kept for when it is dropped in.
        url: the page's URL as this session wrote or obeyed it last.
        touched: something was done on the page since then.
        searched: the class that was last asked for by its name.
        shown: for each choice, what its widget shows and how many widgets came before it, see controls.in_step.
        drawn: for each choice, the page on which its widget was drawn last.
        notices: sentences to show once.
        page: the title of the page it is on.
        framed: the photo's digest and whether it was a talk when the frame around the page was drawn last.
        onward: the page that the last click leads to.
        view: how the viewer shows its maps, as it wrote into the URL itself.
        asked: what the link that was obeyed last says, until it is known whether the network has it.
        token: the owner of this session's own networks, for as long as it lasts.
        own: the names of networks that it dropped in, whether they are still in memory or not.
        edited: preprocessing that was put in place of a network's own, by the network's name.
        fitted: what the choices were made to fit last, see explorer.ui.networks.session_network.
        good: the network that was shown last without trouble.
        picking: which network is being chosen in a dialog: "network", "against" or "" for none.
        stopped: long computations that this person stopped.
    """

    choices: Choices = field(default_factory=Choices)
    photo: Photo | None = None
    upload: Photo | None = None
    awaited: str = ""
    url: dict[str, str] | None = None
    touched: bool = False
    searched: int | None = None
    shown: dict[str, tuple[object, int]] = field(default_factory=dict)
    drawn: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    page: str = ""
    framed: tuple[str, bool] | None = None
    onward: str = ""
    view: str = ""
    asked: frozenset[str] = frozenset()
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    own: set[str] = field(default_factory=set)
    edited: dict[str, Preprocessing] = field(default_factory=dict)
    fitted: Fitted = field(default_factory=Fitted)
    good: str = Choices.network
    picking: str = ""
    stopped: set[str] = field(default_factory=set)

    def choose(self, **changes: object) -> None:
        """Change some choices."""
        self.choices = replace(self.choices, **changes)
        self.touch()

    def search(self, class_index: int | None) -> None:
        """A class was asked for by its name, or the name was cleared: then what is shown stays."""
        self.searched = class_index
        self.touch()
        if class_index is not None:
            self.choose(class_index=class_index)

    def wanted(self, name: str) -> NetworkRequest:
        """The network that this session means by a name: its own file's, and as it edited it."""
        owner = self.token if name.startswith(OWN_FILE) else ""
        return NetworkRequest(name, owner, self.edited.get(name))

    @property
    def presenting(self) -> bool:
        """Whether this is a talk; a page without a viewer has none."""
        return self.choices.present and self.page in STAGES

    def go_onward(self) -> str:
        """The page that a click leads to, once."""
        page, self.onward = self.onward, ""
        return page

    def left_frame(self, class_index: int) -> bool:
        """Whether the frame around the page shows what is no longer chosen, so that the whole page must run again.

        A name that was searched for must be let go, or it could not be searched for again; a talk has no sidebar; and
        another photo is another analysis.
        """
        return self.searched not in (None, class_index) or self.framed != (self.photo.digest, self.presenting)

    def touch(self) -> None:
        """Something was done on the page: the URL that came along may be an old one and is not obeyed."""
        self.touched = True

    def show_example(self, name: str) -> None:
        """Put an example on the table, and forget the class that was asked for."""
        self._show(example_photo(name))

    def show_case(self, key: str) -> None:
        """Put a case on the table, as the sentences about it were written: by the bundled network, cropped."""
        case = CASES[key]
        self.show_example(case.example or key)
        self.choose(class_index=case.class_index, rival=case.rival, network=NETWORK, framing=FRAMING, size=None,
                    layer="", against="", pooling=Choices.pooling, ask=Choices.ask)
        self.framed = None  # the sidebar may show another network

    def show_upload(self, data: bytes) -> None:
        """Put a person's own photo on the table; a bad one leaves the last good one there and says why."""
        self.touch()
        try:
            image = read_image(data)
        except ExplorerError as error:
            self.notices.append(f"{error} The last photo stays.")
            return
        self.upload = Photo(image, digest(image))
        if self.upload.name == self.awaited:  # a link asked for it: what else the link asked for is kept
            self.photo = self.upload
            self.choose(example="", photo=self.upload.name)
        else:
            self._show(self.upload)

    def show_upload_again(self) -> None:
        """Put the last photo of their own back on the table."""
        self._show(self.upload)

    def _show(self, photo: Photo) -> None:
        self.photo = photo
        self.choose(example=photo.example, photo="" if photo.example else photo.name, class_index=None,
                    classes=(), region=None, rival=None)

    def take_notices(self) -> list[str]:
        """The sentences to show once."""
        notices, self.notices = self.notices, []
        return notices


def session(page: str) -> Session:
    """This person's session on the page of that title, in step with its URL."""
    if "poolscope" not in st.session_state:
        arguments, wrong = given()
        st.session_state["poolscope"] = Session(
            Choices(network=GIVEN if arguments.given else Choices.network), notices=[wrong] if wrong else [])
    current: Session = st.session_state["poolscope"]
    current.page = page
    asked = {name: st.query_params[name] for name in st.query_params}
    _hear_view(current)
    # A URL that this session did not write last was typed, followed or gone back to: it is obeyed. But one that comes
    # with a click may only be older than what the browser has heard of by then.
    if asked and _but_view(asked) != _but_view(current.url) and not current.touched:
        current.url = asked
        _obey(current, asked)
    if current.photo is None:
        current.show_example(current.choices.example or Choices.example)
    return current


def _but_view(query: dict[str, str] | None) -> dict[str, str] | None:
    return query and {name: value for name, value in query.items() if name != "view"}


def _hear_view(current: Session) -> None:
    """The viewer writes its part of the URL itself, so what comes along is the newest; a page's own link has none."""
    if len(st.query_params):
        current.view = read_view(st.query_params.get("view", ""))


def write_url(current: Session, class_index: int) -> None:
    """Make the URL say what is shown. It keeps what the viewer wrote into it."""
    _hear_view(current)
    query = as_query(current.choices, class_index, current.page, current.view)
    # The one that came along may be right and old: then the browser will hear of one between them, which is not right.
    if query != {name: st.query_params[name] for name in st.query_params} or query != current.url:
        st.query_params.from_dict(query)
    current.url, current.touched = query, False


def _obey(current: Session, asked: dict[str, str]) -> None:
    found, sentences = read(asked, current.page, current.choices)
    current.notices += sentences
    current.asked = frozenset(set(found) & set(asked) | ({"class"} & set(asked)))
    _obey_photo(current, asked)
    if current.photo is None:
        current.show_example(Choices.example)
    current.choose(**found)
    _obey_class(current, asked.get("class"))


def _obey_photo(current: Session, asked: dict[str, str]) -> None:
    example, photo = asked.get("example"), asked.get("photo")
    if example in PHOTOS:
        if current.choices.example != example or current.photo is None:
            current.show_example(example)
    elif example is not None:
        current.notices.append(f"The link asks for the example “{example[:40]}”, which does not exist.")
    elif photo and current.upload and photo == current.upload.name:
        if current.photo is not current.upload:
            current.show_upload_again()
    elif photo:
        current.awaited = photo
        current.notices.append("The link is of a photo that was uploaded elsewhere and never leaves its session: "
                               "drop it in again to see the same page.")


def _obey_class(current: Session, text: str | None) -> None:
    if text is None:
        return
    if text.isascii() and text.isdigit() and len(text) < 9:
        current.choose(class_index=int(text))
    else:
        current.notices.append(f"The link asks for class “{text[:40]}”, which is not a number; the answer is shown.")


@cache
def example_photo(name: str) -> Photo:
    """One of the bundled photos; `name` is a key of PHOTOS and nothing else."""
    image = read_image(example_file(name))
    return Photo(image, digest(image), name)


def example_file(name: str) -> Path:
    """Where a bundled photo lies."""
    return PHOTOS[name]
