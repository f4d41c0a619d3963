"""What a person has chosen: kept for the session, written to the page's URL and read back from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

import streamlit as st
from PIL import Image

from explorer.errors import ExplorerError
from explorer.framing import FRAMINGS, LARGEST_SIDE, SMALLEST_SIDE
from explorer.images import digest, read_image
from explorer.networks import BUNDLED
from explorer.networks.sources import ASSETS
from explorer.pooling import POOLINGS

EXAMPLES = MappingProxyType({
    "astronaut": "An astronaut, taken for a football helmet",
    "cat_and_coffee": "A cat beside a coffee: two objects in one photo",
    "cat": "A cat",
    "coffee": "A cup of coffee",
    "photographer": "A photographer behind his tripod",
    "rocket": "A rocket at its launch",
})
SIZES = tuple(range(SMALLEST_SIDE, LARGEST_SIDE + 1, 32))
NATIVE_SIZE = 224


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
class Choices:
    """All that a link carries. `class_index` None means: the answer itself, whatever it is."""

    network: str = "efficientnet_lite0"
    example: str = "astronaut"
    photo: str = ""
    class_index: int | None = None
    pooling: str = "gap"
    framing: str = "crop"
    size: int = NATIVE_SIZE
    calibrated: bool = True


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
        notices: sentences to show once.
    """

    choices: Choices = field(default_factory=Choices)
    photo: Photo | None = None
    upload: Photo | None = None
    awaited: str = ""
    url: dict[str, str] | None = None
    touched: bool = False
    searched: int | None = None
    shown: dict[str, tuple[object, int]] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

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

    def touch(self) -> None:
        """Something was done on the page: the URL that came along may be an old one and is not obeyed."""
        self.touched = True

    def show_example(self, name: str) -> None:
        """Put an example on the table, and forget the class that was asked for."""
        self._show(example_photo(name))

    def show_upload(self, data: bytes) -> None:
        """Put a person's own photo on the table; a bad one leaves the last good one there and says why."""
        self.touch()
        try:
            image = read_image(data)
        except ExplorerError as error:
            self.notices.append(f"{error} The last photo stays.")
            return
        self.upload = Photo(image, digest(image))
        self._show(self.upload, self.choices.class_index if self.upload.name == self.awaited else None)

    def show_upload_again(self) -> None:
        """Put the last photo of their own back on the table."""
        self._show(self.upload)

    def _show(self, photo: Photo, class_index: int | None = None) -> None:
        self.photo = photo
        self.choose(example=photo.example, photo="" if photo.example else photo.name, class_index=class_index)

    def take_notices(self) -> list[str]:
        """The sentences to show once."""
        notices, self.notices = self.notices, []
        return notices


def session() -> Session:
    """This person's session, in step with the page's URL."""
    if "poolscope" not in st.session_state:
        st.session_state["poolscope"] = Session()
    current: Session = st.session_state["poolscope"]
    asked = {name: st.query_params[name] for name in st.query_params}
    # A URL that this session did not write last was typed, followed or gone back to: it is obeyed. But one that comes
    # with a click may only be older than what the browser has heard of by then.
    if asked and asked != current.url and not current.touched:
        current.url = asked
        _obey(current, asked)
    if current.photo is None:
        current.show_example(current.choices.example or Choices.example)
    return current


def as_query(choices: Choices, class_index: int) -> dict[str, str]:
    """The link to what is shown."""
    return {
        "network": choices.network,
        **({"example": choices.example} if choices.example else {"photo": choices.photo}),
        "class": str(class_index),
        "pooling": choices.pooling,
        "framing": choices.framing,
        "size": str(choices.size),
        "calibrated": str(int(choices.calibrated)),
    }


def write_url(current: Session, class_index: int) -> None:
    """Make the URL say what is shown."""
    query = as_query(current.choices, class_index)
    # The one that came along may be right and old: then the browser will hear of one between them, which is not right.
    if query != {name: st.query_params[name] for name in st.query_params} or query != current.url:
        st.query_params.from_dict(query)
    current.url, current.touched = query, False


def _obey(current: Session, asked: dict[str, str]) -> None:
    readers: dict[str, Callable[[str], object]] = {
        "network": _one_of(tuple(BUNDLED)),
        "pooling": _one_of(tuple(POOLINGS)),
        "framing": _one_of(tuple(FRAMINGS)),
        "size": lambda text: int(_one_of(tuple(str(size) for size in SIZES))(text)),
        "calibrated": lambda text: _one_of(("0", "1"))(text) == "1",
    }
    for name, read in readers.items():
        if name in asked:
            try:
                current.choose(**{name: read(asked[name])})
            except ValueError:
                current.notices.append(f"The link asks for {name} “{asked[name][:40]}”, which does not exist; "
                                       f"{as_query(current.choices, 0)[name]} is shown.")
    _obey_photo(current, asked)
    if current.photo is None:
        current.show_example(Choices.example)
    _obey_class(current, asked.get("class"))


def _obey_photo(current: Session, asked: dict[str, str]) -> None:
    example, photo = asked.get("example"), asked.get("photo")
    if example in EXAMPLES:
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


def _one_of(allowed: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(text)
        return text

    return read


@cache
def example_photo(name: str) -> Photo:
    """One of the bundled photos; `name` is a key of EXAMPLES and nothing else."""
    image = read_image(example_file(name))
    return Photo(image, digest(image), name)


def example_file(name: str) -> Path:
    """Where a bundled photo lies."""
    if name not in EXAMPLES:
        raise KeyError(name)
    return ASSETS / "examples" / f"{name}.jpg"
