"""Bodies under other names: Hugging Face's, and the numbers that nn.Sequential gives to a network's children."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class _Family:
    """A family of Hugging Face's, and how its names are those of an architecture.

    Attributes:
        mark: the first word of its names.
        fits: architectures, as `identify` names them, that compute what it computes.
        rules: pattern and replacement, one after the other; {block} is the architecture's block of that number.
        tensorflow: whether it computes as TensorFlow does (padding, epsilon, mean and std), unlike the architecture.
    """

    mark: str
    fits: str
    rules: tuple[tuple[str, str], ...]
    tensorflow: bool = False


def _layers(*names: tuple[str, str, str]) -> tuple[tuple[str, str], ...]:
    """Rules for a layer's convolution and its norm: what theirs is called, and what ours are."""
    return tuple(rule for theirs, convolution, norm in names for rule in (
        (rf"{theirs}\.convolution", convolution), (rf"{theirs}\.normalization", norm)))


_PART = (("convolution", "conv"), ("normalization", "bn"))
_FAMILIES = (
    _Family("resnet", r"(torchvision/|timm/)(wide_)?resnet\d+(\..*)?", (
        (r"embedder\.embedder\.convolution", "conv1"), (r"embedder\.embedder\.normalization", "bn1"),
        (r"encoder\.stages\.(\d+)\.layers\.", r"layer{\1+1}."),
        (r"\.layer\.(\d+)\.convolution", r".conv{\1+1}"), (r"\.layer\.(\d+)\.normalization", r".bn{\1+1}"),
        (r"shortcut\.convolution", "downsample.0"), (r"shortcut\.normalization", "downsample.1"))),
    _Family("convnext", r"timm/convnext(v2)?_.*", (
        (r"embeddings\.patch_embeddings", "stem.0"), (r"embeddings\.layernorm", "stem.1"),
        (r"encoder\.stages\.(\d+)\.downsampling_layer", r"stages.\1.downsample"),
        (r"encoder\.stages\.(\d+)\.layers", r"stages.\1.blocks"), (r"layer_scale_parameter", "gamma"),
        (r"dwconv", "conv_dw"), (r"\.layernorm", ".norm"), (r"^layernorm", "head.norm"), (r"pwconv(\d)", r"mlp.fc\1"),
        (r"\.grn\.", ".mlp.grn."))),
    _Family("convnextv2", r"timm/convnextv2_.*", ()),  # by the rules of convnext
    _Family("regnet", r"timm/regnet[xy].*", (
        (r"embedder\.embedder\.", "stem."), (r"encoder\.stages\.(\d+)\.layers\.(\d+)", r"s{\1+1}.b{\2+1}"),
        (r"\.layer\.2\.attention\.0", ".se.fc1"), (r"\.layer\.2\.attention\.2", ".se.fc2"),
        (r"\.layer\.([01])\.", r".conv{\1+1}."), (r"\.layer\.[23]\.", ".conv3."), (r"shortcut", "downsample"),
        *_PART)),
    _Family("efficientnet", r"timm/tf_efficientnet_b\d.*", (
        (r"embeddings\.convolution", "conv_stem"), (r"embeddings\.batchnorm", "bn1"),
        (r"encoder\.top_conv", "conv_head"), (r"encoder\.top_bn", "bn2"), (r"encoder\.blocks\.(\d+)", r"{block \1}"),
        (r"expansion\.expand_conv", "conv_pw"), (r"expansion\.expand_bn", "bn1"),
        (r"depthwise_conv\.depthwise_conv", "conv_dw"), (r"depthwise_conv\.depthwise_norm", "{bn dw}"),
        (r"squeeze_excite\.reduce", "se.conv_reduce"), (r"squeeze_excite\.expand", "se.conv_expand"),
        (r"projection\.project_conv", "{conv out}"), (r"projection\.project_bn", "{bn out}"))),
    _Family("mobilenet_v1", r"timm/mobilenetv1_\d+(\..*)?", _layers(
        ("conv_stem", "conv_stem", "bn1"),
        *((rf"^layer\.{2 * n}", f"{{block {n}}}.conv_dw", f"{{block {n}}}.bn1") for n in range(13)),
        *((rf"^layer\.{2 * n + 1}", f"{{block {n}}}.conv_pw", f"{{block {n}}}.bn2") for n in range(13)),
    ), tensorflow=True),
    _Family("mobilenet_v2", r"timm/mobilenetv2_\d+(\..*)?", (
        (r"^layer\.(\d+)", r"{block {\1+1}}"),
        *_layers((r"conv_stem\.first_conv", "conv_stem", "bn1"),
                 (r"conv_stem\.conv_3x3", "{block 0}.conv_dw", "{block 0}.bn1"),
                 (r"conv_stem\.reduce_1x1", "{block 0}.conv_pw", "{block 0}.bn2"),
                 ("^conv_1x1", "conv_head", "bn2"), ("expand_1x1", "conv_pw", "bn1"), ("conv_3x3", "conv_dw", "bn2"),
                 ("reduce_1x1", "conv_pwl", "bn3"))), tensorflow=True),
)


def hugging_faces(state: State, model_state: State, architecture: str) -> dict[str, Tensor] | None:
    """The tensors under the architecture's names; None where these are no names of Hugging Face's, or do not fit it."""
    family = _family(state)
    if family is None or not re.fullmatch(family.fits, architecture):
        return None
    rules = family.rules or next(other.rules for other in _FAMILIES if family.mark.startswith(other.mark))
    blocks = list(dict.fromkeys(match[0] for key in model_state if (match := re.match(r"blocks\.\d+\.\d+", key))))
    renamed = {}
    for key, tensor in state.items():
        name = _renamed(key.removeprefix(f"{family.mark}."), rules, blocks, model_state)
        known = model_state.get(name)
        renamed[name] = tensor.reshape(known.shape) if (  # ConvNeXt V2 writes a vector as (1, 1, 1, C)
            known is not None and tensor.ndim == 4 and known.ndim == 1 and tensor.numel() == known.numel()) else tensor
    return renamed


def _family(state: State) -> _Family | None:
    return next((family for family in _FAMILIES if any(
        re.match(rf"{family.mark}\.(embedder|embeddings|encoder|conv_stem)\.", key) for key in state)), None)


def is_tensorflows(state: State, architecture: str) -> bool:
    """Whether these are Hugging Face's names of an architecture that computes there as TensorFlow does."""
    family = _family(state)
    return family is not None and family.tensorflow and re.fullmatch(family.fits, architecture) is not None


def _renamed(key: str, rules: tuple[tuple[str, str], ...], blocks: list[str], model_state: State) -> str:
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    key = re.sub(r"\{(\d+)\+1\}", lambda match: str(int(match[1]) + 1), key)
    key = re.sub(r"\{block (\d{1,4})\}", lambda match: dict(enumerate(blocks)).get(int(match[1]), "?"), key)
    # A block that does not widen its input calls its convolutions and norms otherwise.
    block = key.partition(".{")[0]
    widens = f"{block}.conv_pwl.weight" in model_state
    names = {"bn dw": ("bn2", "bn1"), "conv out": ("conv_pwl", "conv_pw"), "bn out": ("bn3", "bn2")}
    return re.sub(r"\{(bn dw|conv out|bn out)\}", lambda match: names[match[1]][0 if widens else 1], key)


def as_children(state: State, module: nn.Module) -> Iterator[dict[str, Tensor]]:
    """A body's tensors under the names of the network it was cut from.

    Yields first those where numbers stand for its children, as `nn.Sequential(*model.children())` counts them; then
    those of each child alone, as `model.features` has them.
    """
    children = [name for name, _ in module.named_children()]
    numbered = {}
    for key, tensor in state.items():
        first, _, rest = key.partition(".")
        if first.isdecimal() and len(first) < 4 and int(first) < len(children):
            numbered[f"{children[int(first)]}.{rest}"] = tensor
    if numbered:
        yield numbered
    for child in children:
        yield {f"{child}.{key}": tensor for key, tensor in state.items()}
