"""The networks of torchvision and timm by name: which there are, and which one a name means."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import cache

import timm
import torchvision
from timm.models import PretrainedCfg, get_deprecated_models, get_pretrained_cfg
from torchvision.models import WeightsEnum, get_model_weights

from explorer.checks import checked_key
from explorer.errors import NetworkError

SOURCES = ("torchvision", "timm")
_LONGEST_NAME = 80  # characters of an unknown name that are compared and shown


@dataclass(frozen=True)
class Known:
    """A network that torchvision or timm knows.

    Attributes:
        source: "torchvision" or "timm".
        architecture: "resnet50".
        tag: of its trained weights, "IMAGENET1K_V2" or "a1_in1k"; "" when there are none.
    """

    source: str
    architecture: str
    tag: str

    @property
    def name(self) -> str:
        """What `identify` makes this of: "torchvision/resnet50", "timm/resnet50.a1_in1k"."""
        usual = self.source == "torchvision" and self.tag == _default_tag(self.source, self.architecture)
        return f"{self.source}/{self.architecture if usual else self.tagged}"

    @property
    def tagged(self) -> str:
        """Architecture and tag, as the source itself writes them: "resnet50.a1_in1k"."""
        return f"{self.architecture}.{self.tag}" if self.tag else self.architecture


# Of timm's many, those to begin with: one of each family that people ask about.
FAMILIAR = (
    "resnet50.a1_in1k", "resnet18.a1_in1k", "convnext_tiny.fb_in22k_ft_in1k", "efficientnet_b0.ra_in1k",
    "mobilenetv3_small_100.lamb_in1k", "mobilenetv2_100.ra_in1k", "densenet121.ra_in1k", "regnety_016.tv2_in1k",
    "repvgg_a2.rvgg_in1k", "resnet50_clip.openai", "vit_tiny_patch16_224.augreg_in21k_ft_in1k",
)


@cache
def torchvision_names() -> tuple[str, ...]:
    """torchvision's classification networks, such as "resnet50"."""
    return tuple(torchvision.models.list_models(module=torchvision.models))


@cache
def timm_names() -> tuple[str, ...]:
    """timm's trained networks with their tags, such as "resnet50.a1_in1k", 18 before 101."""
    return tuple(timm.list_models(pretrained=True))


@cache
def timm_architectures() -> tuple[str, ...]:
    """timm's networks without tags, also those that nobody trained."""
    return tuple(timm.list_models())


def search(text: str, source: str) -> list[str]:
    """The names of a source that hold every word of a text, best first.

    Words stand in any order; capitals, hyphens, dots and underscores do not count. First comes the network of that
    name, then names that begin with the text, then those that begin with a word of it, then the others; among those
    short ones first, and of one architecture its usual weights.

    Args:
        text: what a person typed; nothing finds all, of timm's the familiar ones first.
        source: one of `SOURCES`.

    Raises ParameterError for an unknown source.
    """
    names = torchvision_names() if checked_key(source, SOURCES, "source") == "torchvision" else timm_names()
    words = [_letters(word) for word in text.lower().removeprefix(f"{source}/").split()]
    words = [word for word in words if word]
    if not words:
        return [*(name for name in FAMILIAR if name in names), *(name for name in names if name not in FAMILIAR)]
    whole = "".join(words)

    def rank(name: str) -> tuple[int, int, str, bool]:
        architecture, _, tag = name.partition(".")
        spelt = _letters(name)
        orders = (whole in (spelt, _letters(architecture)), spelt.startswith(whole),
                  any(spelt.startswith(word) for word in words), True)
        return orders.index(True), len(architecture), architecture, tag != _default_tag(source, architecture)

    return sorted((name for name in names if all(word in _letters(name) for word in words)), key=rank)


def identify(name: str) -> Known:
    """The network that a name means.

    Args:
        name: "resnet50" (torchvision's where both have one), "torchvision/convnext_tiny", "timm/resnet50" (its usual
            weights), "timm/resnet50.a1_in1k", "torchvision/resnet50.IMAGENET1K_V1". Capitals do not count.

    Raises:
        NetworkError: there is none; the message names up to three near ones.
    """
    text = name.strip() if isinstance(name, str) else ""
    prefix, _, rest = text.rpartition("/")
    for source in SOURCES if not prefix else (prefix.lower(),):
        finder = {"torchvision": _of_torchvision, "timm": _of_timm}.get(source)
        if finder and (known := finder(*rest.partition(".")[::2])):
            return known
    near = _near(text) if text else []
    hint = f"near it: {', '.join(near)}" if near else "expected one of torchvision or timm, such as resnet50 or " \
                                                      "timm/resnet50.a1_in1k"
    raise NetworkError(f"There is no network {name!r:.{_LONGEST_NAME}}; {hint}.")


def _of_torchvision(architecture: str, tag: str) -> Known | None:
    architecture, tag = architecture.lower(), tag.upper()
    if architecture not in torchvision_names():
        return None
    # Weights without categories are of a backbone alone (VGG16's "features").
    tags = [weights.name for weights in get_model_weights(architecture) if weights.meta.get("categories")]
    tag = tag or _default_tag("torchvision", architecture)
    return Known("torchvision", architecture, tag) if tag in tags else None


def _of_timm(architecture: str, tag: str) -> Known | None:
    renamed = get_deprecated_models().get(architecture)
    if renamed and not tag:
        architecture, _, tag = renamed.partition(".")
    architecture, tag = architecture.lower(), tag.lower()
    if tag:
        return Known("timm", architecture, tag) if f"{architecture}.{tag}" in timm_names() else None
    if architecture not in timm_architectures():
        return None
    return Known("timm", architecture, _default_tag("timm", architecture))


@cache
def _default_tag(source: str, architecture: str) -> str:
    if source == "torchvision":
        return get_model_weights(architecture).DEFAULT.name
    config = get_pretrained_cfg(architecture)
    return (config.tag or "") if config and config.has_weights else ""


def _near(text: str) -> list[str]:
    """Up to three names spelt like a text, written so that `identify` takes them."""
    text = text[:_LONGEST_NAME].lower()
    prefix, _, rest = text.rpartition("/")
    pools = {"torchvision": torchvision_names(), "timm": (*timm_architectures(), *timm_names())}
    sources = [prefix] if prefix in pools else list(pools)
    names = list(dict.fromkeys(name for source in sources for name in pools[source]))
    near = difflib.get_close_matches(rest, names, 3) or difflib.get_close_matches(rest.partition(".")[0], names, 3)
    return [f"{prefix}/{name}" for name in near] if prefix in pools else near


def _letters(text: str) -> str:
    return re.sub("[^a-z0-9]", "", text.lower())


def torchvision_weights(known: Known) -> WeightsEnum:
    """torchvision's own description of these weights."""
    return get_model_weights(known.architecture)[known.tag]


def timm_config(known: Known) -> PretrainedCfg:
    """timm's own description of these weights, or of none."""
    return get_pretrained_cfg(known.tagged) or PretrainedCfg()
