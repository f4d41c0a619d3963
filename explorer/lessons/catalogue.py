"""The ten lessons: their claims, what to notice, and the first papers."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Lesson:
    """One lesson.

    Attributes:
        number: 1 to 10.
        title: a few words.
        claim: one sentence, true of any network that pools globally, or saying on what it depends.
        notice: one line of what to look at when the control is moved.
        source: the papers.
    """

    number: int
    title: str
    claim: str
    notice: str
    source: str


_NETWORK_IN_NETWORK = "Lin, Chen and Yan, Network In Network, 2014, arXiv:1312.4400"
_CAM = "Zhou, Khosla, Lapedriza, Oliva and Torralba, Learning Deep Features for Discriminative Localization, 2015, " \
       "arXiv:1512.04150"
_FREE = "Oquab, Bottou, Laptev and Sivic, Is object localization for free?, CVPR 2015"
_SPATIAL_PYRAMID = "He, Zhang, Ren and Sun, Spatial Pyramid Pooling in Deep Convolutional Networks for Visual " \
                   "Recognition, 2014, arXiv:1406.4729"

LESSONS: MappingProxyType[int, Lesson] = MappingProxyType({lesson.number: lesson for lesson in (
    Lesson(
        1, "From maps to one number",
        "Global pooling turns each channel's map into one number, and the answer depends on these numbers alone.",
        "A channel's number times the class's weight is its contribution; all contributions and the baseline add up to "
        "the logit.",
        _NETWORK_IN_NETWORK,
    ),
    Lesson(
        2, "Local and global pooling",
        "Global pooling is local pooling whose window has grown until it is the whole map.",
        "As the window grows, fewer numbers are left and each stands for a larger part of the map. The last one stands "
        "for all of it, and no longer says where.",
        "LeCun, Bottou, Bengio and Haffner, Gradient-Based Learning Applied to Document Recognition, Proceedings of "
        f"the IEEE 86 (11), 1998 (local); {_NETWORK_IN_NETWORK} (global)",
    ),
    Lesson(
        3, "Fewer parameters",
        "After global pooling a Linear has the same number of weights at any photo size; after flatten it has that "
        "many for every position of the maps.",
        "Make the photo larger: the bar of GAP stays, the bar of flatten grows with the number of positions.",
        _NETWORK_IN_NETWORK,
    ),
    Lesson(
        4, "Any input size",
        "The pooled vector has the same length at any photo size, so one head serves all sizes that the backbone "
        "takes; a flatten head serves one number of positions.",
        "Near the training size the answer changes a little, far from it more: the head takes any size, but the "
        "network works best on objects at the size it was trained on.",
        f"{_SPATIAL_PYRAMID}; {_NETWORK_IN_NETWORK}",
    ),
    Lesson(
        5, "Less overfitting",
        "A head after global pooling has fewer weights to memorise photos with than one after flatten; how much that "
        "helps depends on the photos and the backbone, and is measured here as you watch.",
        "Both fit their few training photos almost perfectly. Compare the accuracy on new photos, and its spread over "
        "the repeats.",
        _NETWORK_IN_NETWORK,
    ),
    Lesson(
        6, "What is lost: place",
        "Each of the eight poolings gives the same answer in whatever order the positions come, so place is lost; a "
        "spatial pyramid keeps a little of it, flatten all of it.",
        "Shuffle the positions: the answers under all poolings stay, and the evidence moves along with its positions, "
        "which is how a CAM can still say where.",
        "Lazebnik, Schmid and Ponce, Beyond Bags of Features: Spatial Pyramid Matching for Recognizing Natural Scene "
        f"Categories, CVPR 2006; {_SPATIAL_PYRAMID}; {_CAM}",
    ),
    Lesson(
        7, "Average or maximum",
        "The average counts how much of the maps responds, the maximum only how strongly they respond at one place, "
        "and GeM of maps without negative numbers lies between the two.",
        "Make the object small or repeat it: what GAP says goes with how much of the scene is object, what GMP says "
        "less so; how clearly depends on the network, whose positions see beyond their own squares.",
        "Boureau, Ponce and LeCun, A Theoretical Analysis of Feature Pooling in Visual Recognition, ICML 2010; "
        f"{_FREE}; Radenović, Tolias and Chum, Fine-tuning CNN Image Retrieval with No Human Annotation, "
        "arXiv:1711.02512",
    ),
    Lesson(
        8, "Attention and adaptive pooling",
        "Attention pooling weighs each position by what lies there, and a gate mixes average and maximum anew for each "
        "photo; where both look is learned with the head.",
        "Change the photo and the weights move with what is on it; lower the temperature and fewer positions count.",
        "Ilse, Tomczak and Welling, Attention-based Deep Multiple Instance Learning, 2018, arXiv:1802.04712; Lee, "
        "Gallagher and Tu, Generalizing Pooling Functions in Convolutional Neural Networks, 2016, arXiv:1509.08985",
    ),
    Lesson(
        9, "Where from maps: localisation",
        "A network trained on class labels alone also gives a box and a mask: the region in which the evidence for a "
        "class is strong.",
        "The threshold is a choice: a low one covers more than the object, a high one only the part that decides, and "
        "that part may not be on the object at all.",
        f"{_CAM}; {_FREE}",
    ),
    Lesson(
        10, "Beyond images",
        "A pooling asks only for vectors, not for a photo: the tokens of a sentence are pooled as positions are.",
        "Under the mean every token has an exact share of how alike two sentences are; under the maximum only tokens "
        "that are the strongest in some channel have any.",
        "Reimers and Gurevych, Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks, 2019, arXiv:1908.10084",
    ),
)})
