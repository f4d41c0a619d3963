"""A network of torchvision or timm as a module, with all that is needed to feed it and to read its answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import timm
import torch
import torchvision
from timm.data import ImageNetInfo, infer_imagenet_subset, resolve_data_config
from timm.models import PretrainedCfg
from torch import nn
from torch.overrides import TorchFunctionMode

from explorer.checks import is_whole
from explorer.errors import NetworkError
from explorer.framing import Preprocessing
from explorer.networks.loading.bundled import imagenet_class_names
from explorer.networks.loading.known_networks import Known, identify, timm_config, torchvision_weights

# In training these networks answer a second time, from halfway; what their files hold for that is not needed.
_AUXILIARY = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}
# Sizes of sets of classes; another number of trained outputs means features (CLIP's 1024, DINO's none).
_LABEL_SETS = frozenset({1000, 11221, 11821, 19168, 21841, 21842, 21843, 115217})


@dataclass(frozen=True, eq=False)
class Blueprint:
    """A whole network, not yet cut into its parts.

    Attributes:
        known: which one it is.
        module: (B, 3, h, w) to (B, outputs), in evaluation mode, in fp32.
        preprocessing: how its weights were evaluated; the stride is not known yet.
        outputs: how many numbers it answers with.
        class_names: one an output, or None when they are only numbered.
        classifies: False when its trained outputs are features and no classes.
        digest: sha256 of the weights' file, hex; "" when untrained.
        origin: where the weights come from, one line.
        cautions: sentences on what was assumed or chosen when they were read.
        siblings: by name, what makes the same weights into an architecture that has the same tensors and computes
            something else with them.
        tensorflow: whether it was built to compute as TensorFlow does.
    """

    known: Known
    module: nn.Module
    preprocessing: Preprocessing
    outputs: int
    class_names: tuple[str, ...] | None = None
    classifies: bool = True
    digest: str = ""
    origin: str = "untrained"
    cautions: tuple[str, ...] = ()
    siblings: Mapping[str, Callable[[], Blueprint]] = field(default_factory=dict)
    tensorflow: bool = False


def build(name: str, classes: int | None = None, grey: bool = False, tensorflow: bool = False) -> Blueprint:
    """An untrained network with randomly filled weights.

    Args:
        name: as `identify` takes it; a tag decides the preprocessing and what else depends on it (a ViT's input size).
        classes: how many outputs; None is as many as the trained one has, with their names.
        grey: whether its input has one channel.
        tensorflow: of timm's MobileNets, whether padding, epsilon, mean and std are TensorFlow's.

    Raises:
        NetworkError: there is no such network, its input is no square, or it cannot have so many outputs.
    """
    known = identify(name)
    if classes is not None and (not is_whole(classes) or classes < 1):
        raise NetworkError(f"The number of classes is {classes!r}; expected a whole number from 1.")
    options = {"pad_type": "same", "bn_eps": 1e-3} if tensorflow else {}
    blueprint = describe(known, new_module(known, classes, grey, **options), classes)
    if tensorflow:
        blueprint = replace(blueprint, tensorflow=True, preprocessing=replace(
            blueprint.preprocessing, mean=3 * (0.5,), std=3 * (0.5,)))
    return replace(blueprint, preprocessing=_in_grey(blueprint.preprocessing)) if grey else blueprint


def _in_grey(usual: Preprocessing) -> Preprocessing:
    """As timm does it: the three channels' mean and std, averaged."""
    return replace(usual, mean=(sum(usual.mean) / len(usual.mean),), std=(sum(usual.std) / len(usual.std),))


def new_module(known: Known, classes: int | None = None, grey: bool = False, **options: Any) -> nn.Module:
    """The network of that name as a module, filled at random; for grey images with one channel of input.

    Further options are those of timm's.
    """
    if known.source == "torchvision" and grey:
        module = new_module(known, classes)
        first = next(part for part in module.modules() if isinstance(part, nn.Conv2d))
        first.in_channels, first.weight = 1, nn.Parameter(first.weight.detach()[:, :1])
        return module
    if grey:
        return timm.create_model(known.tagged, num_classes=classes, in_chans=1, **options)
    if known.source == "timm":
        return timm.create_model(known.tagged, num_classes=classes, **options)  # None is as many as it was trained with
    arguments: dict[str, Any] = {"num_classes": 1000 if classes is None else classes}
    smallest = torchvision_weights(known).meta["min_size"]
    # What torchvision itself sets when it is given weights, and only then.
    if known.architecture.startswith("vit_"):
        arguments["image_size"] = smallest[0]
    elif known.architecture.startswith("maxvit"):
        arguments["input_size"] = smallest
    elif known.architecture in _AUXILIARY:
        arguments |= {"aux_logits": False, "init_weights": False, "transform_input": True}
    return torchvision.models.get_model(known.architecture, weights=None, **arguments)


def describe(known: Known, module: nn.Module, classes: int | None = None) -> Blueprint:
    """The Blueprint of an untrained module made by `new_module`."""
    if known.source == "torchvision":
        preprocessing, trained = _torchvision_preprocessing(known), 1000
    else:
        config = timm_config(known)
        preprocessing, trained = _timm_preprocessing(known, config), config.num_classes
    return Blueprint(
        known=known, module=module.eval(), preprocessing=preprocessing,
        outputs=classes or trained or int(getattr(module, "head_hidden_size", getattr(module, "num_features", 0))),
        class_names=_class_names(known) if classes is None else None,
        classifies=classes is not None or trained in _LABEL_SETS,
    )


def droppable_keys(known: Known) -> tuple[str, ...]:
    """Prefixes of what a state dict of this architecture may hold and the module of `new_module` does not need."""
    return _AUXILIARY.get(known.architecture, ()) if known.source == "torchvision" else ()


class Unfilled(TorchFunctionMode):
    """Within it, in its own thread, random filling writes zeros: for weights that are replaced at once.

    It spares seconds on large networks. Whatever a network computes when it is made (indices of relative positions,
    rotary frequencies) is computed as ever, which is why modules are not made on the "meta" device.
    """

    # Of tensors, and of torch.nn.init where that asks for itself.
    _RANDOM = frozenset({"uniform_", "normal_", "kaiming_uniform_", "kaiming_normal_", "trunc_normal_"})

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tensor = args[0] if args else kwargs.get("tensor")
        if getattr(func, "__name__", "") in self._RANDOM and isinstance(tensor, torch.Tensor):
            with torch.no_grad():
                return tensor.zero_()
        return func(*args, **kwargs)


def _torchvision_preprocessing(known: Known) -> Preprocessing:
    preset = torchvision_weights(known).transforms()
    return Preprocessing(
        size=preset.crop_size[0], crop_ratio=preset.crop_size[0] / preset.resize_size[0],
        mean=tuple(preset.mean), std=tuple(preset.std), interpolation=preset.interpolation.value,
        fixed=known.architecture.startswith(("vit_", "maxvit")),
    )


def _timm_preprocessing(known: Known, config: PretrainedCfg) -> Preprocessing:
    # The size for evaluation, as timm's validate.py takes it; a network of a fixed size is built for its own.
    fixed = bool(config.fixed_input_size)
    data = resolve_data_config(pretrained_cfg=config.to_dict(), use_test_size=not fixed)
    channels, height, width = data["input_size"]
    if height != width:
        raise NetworkError(f"The network {known.name} takes inputs of {width} x {height} px; expected a square.")
    return Preprocessing(
        size=height, crop_ratio=min(data["crop_pct"], 1.0),  # VOLO's 1.15 means a photo with a black rim
        mean=tuple(data["mean"])[:channels], std=tuple(data["std"])[:channels],
        interpolation=data["interpolation"].lower(), fixed=fixed,
    )


def _class_names(known: Known) -> tuple[str, ...] | None:
    if known.source == "torchvision":
        return imagenet_class_names()
    config = timm_config(known)
    if config.num_classes == 1000:  # a thousand outputs alone do not say which classes: DINO's ResMLPs have some too
        return imagenet_class_names() if "in1k" in known.tag else None
    subset = infer_imagenet_subset(config.to_dict())
    return _larger_imagenet_names(subset) if subset else None


@cache
def _larger_imagenet_names(subset: str) -> tuple[str, ...]:
    """A synset's first lemma; all its lemmas where another has the same first one; its number where that is not all."""
    information = ImageNetInfo(subset)
    lemmas, synsets = information.label_descriptions(), information.label_names()
    names: Sequence[str] = [names.split(",")[0].strip() for names in lemmas]
    for longer in (lemmas, [f"{lemma} ({synset})" for lemma, synset in zip(lemmas, synsets, strict=True)]):
        seen = Counter(names)
        names = [more if seen[name] > 1 else name for name, more in zip(names, longer, strict=True)]
    return tuple(names)
