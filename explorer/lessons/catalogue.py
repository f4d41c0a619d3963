"""The ten lessons: their claims and the first papers."""

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
        source: the papers.
    """

    number: int
    title: str
    claim: str
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
        _NETWORK_IN_NETWORK,
    ),
    Lesson(
        2, "Local and global pooling",
        "Global pooling is local pooling whose window has grown until it is the whole map.",
        "LeCun, Bottou, Bengio and Haffner, Gradient-Based Learning Applied to Document Recognition, Proceedings of "
        f"the IEEE 86 (11), 1998 (local); {_NETWORK_IN_NETWORK} (global)",
    ),
    Lesson(
        3, "Fewer parameters",
        "After global pooling a Linear has the same number of weights at any photo size; after flatten it has that "
        "many for every position of the maps.",
        _NETWORK_IN_NETWORK,
    ),
    Lesson(
        4, "Any input size",
        "The pooled vector has the same length at any photo size, so one head serves all sizes that the backbone "
        "takes; a flatten head serves one number of positions.",
        f"{_SPATIAL_PYRAMID}; {_NETWORK_IN_NETWORK}",
    ),
    Lesson(
        5, "Less overfitting",
        "A head after global pooling has fewer weights to memorise photos with than one after flatten; how much that "
        "helps depends on the photos and the backbone, and is measured here as you watch.",
        _NETWORK_IN_NETWORK,
    ),
    Lesson(
        6, "What is lost: place",
        "Each of the eight poolings gives the same answer in whatever order the positions come, so place is lost; a "
        "spatial pyramid keeps a little of it, flatten all of it.",
        "Lazebnik, Schmid and Ponce, Beyond Bags of Features: Spatial Pyramid Matching for Recognizing Natural Scene "
        f"Categories, CVPR 2006; {_SPATIAL_PYRAMID}; {_CAM}",
    ),
    Lesson(
        7, "Average or maximum",
        "The average counts how much of the maps responds, the maximum only how strongly they respond at one place, "
        "and GeM of maps without negative numbers lies between the two.",
        "Boureau, Ponce and LeCun, A Theoretical Analysis of Feature Pooling in Visual Recognition, ICML 2010; "
        f"{_FREE}; Radenović, Tolias and Chum, Fine-tuning CNN Image Retrieval with No Human Annotation, "
        "arXiv:1711.02512",
    ),
    Lesson(
        8, "Attention and adaptive pooling",
        "Attention pooling weighs each position by what lies there, and a gate can mix average and maximum anew for "
        "each photo; what both do is learned with the head.",
        "Ilse, Tomczak and Welling, Attention-based Deep Multiple Instance Learning, 2018, arXiv:1802.04712; Lee, "
        "Gallagher and Tu, Generalizing Pooling Functions in Convolutional Neural Networks, 2016, arXiv:1509.08985",
    ),
    Lesson(
        9, "Where from maps: localisation",
        "A network trained on class labels alone also gives a box and a mask: the region in which the evidence for a "
        "class is strong.",
        f"{_CAM}; {_FREE}",
    ),
    Lesson(
        10, "Beyond images",
        "A pooling asks only for vectors, not for a photo: the tokens of a sentence are pooled as positions are.",
        "Reimers and Gurevych, Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks, 2019, arXiv:1908.10084",
    ),
)})
