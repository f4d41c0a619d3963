"""What a user has chosen to see; links carry it, and it knows nothing of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from explorer.folder.selection import Selection
from explorer.framing import Preprocessing
from explorer.poolings import PoolingChoice

OWN_FILE = "file-"  # the name of a person's own network begins so; the first digits of the file's digest follow
FEWEST, MOST = 2, 4  # poolings beside each other
MAP_KINDS = {"evidence": "Evidence", "cams": "CAM methods", "votes": "Votes",
             "attention": "Class token's attention"}
LARGEST_BOX = 95  # percent of the maximum
MOST_CLASSES = 5
QUESTIONS = {"against": "A against B", "without": "Without this part", "flip": "What flips it",
             "object": "Object or background", "trust": "How far to trust it", "stable": "How stable it is",
             "finer": "Finer"}
PARTS = {"photos": "Photos", "causes": "Causes", "heads": "Trained heads"}  # of the page Folder
PRESENTABLE = ("Explore", "Feature maps", "Poolings", "Activation maps", "Why", "Lessons")  # pages, for a talk
GAP = PoolingChoice("gap")
_STEP = 32  # px between the sizes to choose from, or the next multiple of the network's stride


@dataclass(frozen=True)
class Choices:
    """What is shown, and how.

    Attributes:
        network, example, photo, framing, size, calibrated: what is analysed; one of example and photo is "". A size of
            None is the network's own.
        against: a second network, that is shown the same photo; "" for none.
        layer: whose maps are looked at; "" for the final feature maps.
        class_index: None means the answer itself, whatever it is.
        truth: the class that the photo is truly of, where somebody marked it.
        pooling: under which it answers.
        region: positions chosen on the photo: first row and column, last row and column.
        present: for a talk.
        rank, show, channel, beside: Feature maps: order and kind of the wall's channels, the one on its card (None:
            the first of the wall) and one to compare it with.
        poolings, pair, path: Poolings: those side by side, places in them of the two compared, and whose parameter
            is followed.
        maps, classes, methods, box: Activation maps: what is shown, of which classes (none: the likeliest three), by
            which CAM methods, and the share of the maximum, in percent, from which a position is in the box.
        rival, ask: Why: the class that is compared with (None: the true class, or the likeliest other one), and the
            question.
        lesson, settings: Lessons: its number, and what its controls are set to, by their names.
        change, intervene: Explore and Feature maps: what is done to the feature maps, as the text of an
            `explorer.questions.intervention.Intervention`, and whether the panel for it is open.
        run, item: the name of a run of many photos, and the path of the one that is shown; "" for none.
        beside_run: a second run to compare it with.
        part: Folder: a key of PARTS.
        cause_of, cause_against, parts: whose causes are shown (None: of the class that is most often wrong), whose
            contributions are taken off them, and how many causes there are (None: chosen).
        muted, strength, everywhere, give_back: places of the causes that are muted, by how many percent (None: as
            suggested), whether for all classes, and whether the bias gains what right photos have of them.
        sort, outcome, label, predicted: which of its photos, in which order, see `explorer.folder.selection.Selection`.
    """

    network: str = "efficientnet_lite0"
    example: str = "astronaut"
    photo: str = ""
    class_index: int | None = None
    truth: int | None = None
    pooling: PoolingChoice = GAP
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
    poolings: tuple[PoolingChoice, ...] = (GAP, PoolingChoice("gmp"), PoolingChoice("attention"))
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
    change: str = ""
    intervene: bool = False
    run: str = ""
    item: str = ""
    beside_run: str = ""
    part: str = "photos"
    cause_of: int | None = None
    cause_against: int | None = None
    parts: int | None = None
    muted: tuple[int, ...] = ()
    strength: int | None = None
    everywhere: bool = False
    give_back: bool = True
    sort: str = "wrong"
    outcome: str = "all"
    label: int | None = None
    predicted: int | None = None

    @property
    def selection(self) -> Selection:
        """Which photos of the run."""
        return Selection(self.sort, self.outcome, self.label, self.predicted)

    @property
    def marked(self) -> tuple[int, ...]:
        """The true class, as what is offered beside the likeliest ones."""
        return () if self.truth is None else (self.truth,)


# What only one network has: kept for it while another one is shown.
OF_A_NETWORK = ("class_index", "truth", "classes", "rival", "pooling", "poolings", "pair", "region", "layer", "channel",
                "beside", "size", "change")
# What is of one photo alone, as it is when another photo is shown.
OF_A_PHOTO: dict[str, Any] = {"class_index": None, "truth": None, "classes": (), "rival": None,
                              "region": None, "change": ""}


def sizes_of(preprocessing: Preprocessing) -> tuple[int, ...]:
    """The short sides of an input to choose from: multiples of the network's stride, and its own."""
    low, high = preprocessing.sides
    step = preprocessing.stride * -(-_STEP // preprocessing.stride)
    return tuple(sorted({*(side for side in range(step, high + 1, step) if side >= low), preprocessing.size}))
