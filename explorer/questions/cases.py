"""Photos on which one can see how an answer comes about, each with two sentences of what to look at.

The sentences are true of the bundled network under its own framing; a test derives each of them from numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from explorer.networks.loading.bundled import ASSETS

NETWORK = "efficientnet_lite0"
FRAMING = "crop"


@dataclass(frozen=True)
class Case:
    """A photo and what to look at on it.

    Attributes:
        key: its name in links and in CASES.
        title: a few words for a button.
        photo: path below assets, "examples/cat.jpg".
        class_index: the class to look at.
        rival: the class to hold it against; None without one.
        look: two sentences.
        beside: path below assets of the photo that differs from this one in one thing; "" without one.
    """

    key: str
    title: str
    photo: str
    class_index: int
    rival: int | None
    look: tuple[str, str]
    beside: str = ""

    @property
    def file(self) -> Path:
        """Where the photo lies."""
        return ASSETS / self.photo

    @property
    def example(self) -> str:
        """The name of the example that the photo is; "" where it was drawn for the case."""
        path = PurePosixPath(self.photo)
        return path.stem if path.parent.name == "examples" else ""


_CASES = (
    Case(
        "football_helmet", "An astronaut, taken for a football helmet", "examples/astronaut.jpg", 560, 450,
        ("More than half of the positive evidence for football helmet lies on the helmet under her arm, and little of "
         "it on her face.",
         "The same helmet tips the balance against bobsled, the runner-up: take it out, and another class is the "
         "answer."),
    ),
    Case(
        "two_objects", "Two objects in one photo", "examples/cat_and_coffee.jpg", 967, 285,
        ("The positive evidence for espresso lies on the cup at the right, that for Egyptian cat on the cat at the "
         "left.",
         "Hold one against the other, and the photo falls into two halves with a pale seam between them."),
    ),
    # Li et al., A Whac-A-Mole Dilemma: Shortcuts Come in Multiples Where Mitigating One Amplifies Others, 2022,
    # arXiv:2212.04825, describes the habit.
    Case(
        "characters", "Chinese characters that make it a carton", "cases/characters.jpg", 478, 285,
        ("Half-transparent Chinese characters lie over the cat and the coffee, and the answer is carton: every "
         "position has positive evidence for it, and each only a little.",
         "Under Latin letters as wide and as transparent carton is far from the answer, and under GMP, which keeps "
         "each channel's strongest position alone, Egyptian cat wins."),
        beside="cases/letters.jpg",
    ),
    Case(
        "letters", "The control: Latin letters", "cases/letters.jpg", 478, 285,
        ("The same photo under Latin letters as wide and as transparent as the Chinese characters, and the answer is "
         "Egyptian cat.",
         "Carton stands no higher than on the photo without any text: white lines across it do not raise that class, "
         "the characters do."),
        beside="cases/characters.jpg",
    ),
    Case(
        "empty_cup", "An espresso without its coffee", "cases/empty_cup.jpg", 967, 968,
        ("The coffee was painted out of this cup, and the answer is still espresso, far ahead of cup: what surrounds "
         "the coffee decides.",
         "The evidence is strongest inside the empty cup all the same: a position sees far beyond its own square, so "
         "where a map points need not be where the reason lies."),
        beside="examples/coffee.jpg",
    ),
)
CASES = MappingProxyType({case.key: case for case in _CASES})
