"""Facts about a network from one more run, or from its weights: stride, digest, class names, activation."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from explorer.errors import ParameterError
from explorer.framing import Preprocessing


def example_input(preprocessing: Preprocessing, rows: int | None = None) -> Tensor:
    """(1, channels, rows, size) of random numbers, always the same; a square unless `rows` is given."""
    size = preprocessing.size
    return torch.randn(1, len(preprocessing.mean), rows or size, size, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def fitted(
    preprocessing: Preprocessing, backbone: Callable[[Tensor], Tensor], rows: int,
    parts: Callable[[Tensor], Tensor], model: Callable[[Tensor], Tensor],
) -> Preprocessing:
    """The same preprocessing with the network's stride, and whether it takes its own size alone.

    All are run on an input twice as high as wide. A network whose pooling is global at its own size alone, such as an
    average over a window of 7, differs there from its parts: it counts as one that takes only its own size.

    Args:
        preprocessing: of the network's own size.
        backbone: (B, channels, h, w) to (B, C, H, W).
        rows: H at the network's own size.
        parts, model: (B, channels, h, w) to logits: the parts put together, and the network itself.
    """
    x = example_input(preprocessing, 2 * preprocessing.size)
    try:
        maps = backbone(x)
        more = maps.shape[2] - rows if maps.ndim == 4 and maps.shape[2] != maps.shape[3] else 0
        together, expected = parts(x), model(x)
        same = len(together) == len(x) and bool((together - expected).abs().max() <= 1e-4 * expected.abs().max())
    except Exception:  # a network may refuse another size in any way
        more, same = 0, False
    stride = preprocessing.size / (more if more > 0 else rows)
    power = 2 ** round(math.log2(stride))
    # Networks that do not pad lose a position at the rim, not in their stride.
    stride = power if abs(power / stride - 1) < 0.2 else max(1, round(stride))
    return replace(preprocessing, stride=stride, fixed=preprocessing.fixed or more <= 0 or not same)


def digest_of(model: nn.Module) -> str:
    """sha256 of a model's weights and their names, hex."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if isinstance(tensor, Tensor):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data
                          if tensor.ndim else str(tensor.item()).encode())
    return digest.hexdigest()


def names_for(classes: int, names: Sequence[str] | None, word: str = "class") -> tuple[str, ...]:
    """One name a class: `names`, or "class 0", "class 1"... with another word for outputs that are no classes.

    For a network with one logit there may be two names; the logit is evidence for the second. Classes of one name are
    told apart by their numbers: "crane (134)".

    Raises ParameterError when there is another number of names than of classes.
    """
    if names is None:
        return tuple(f"{word} {index}" for index in range(classes)) if classes > 1 else ("positive",)
    if isinstance(names, str):
        raise ParameterError(f"The class names are the text {names!r:.60}; expected a list with one name a class.")
    texts = tuple(str(name) for name in names)
    if classes == 1 and len(texts) == 2:
        return texts[1:]
    if len(texts) != classes:
        raise ParameterError(f"There {'is one name' if len(texts) == 1 else f'are {len(texts):,} names'} of classes; "
                             f"expected {classes:,}, as many as the network has logits.")
    counts = Counter(texts)
    return tuple(f"{text} ({index})" if counts[text] > 1 else text for index, text in enumerate(texts))


def without_activation(head: nn.Module) -> tuple[nn.Module, str]:
    """A head without its final softmax or sigmoid, and the name of that; the head itself and "" where it has none."""
    ends: dict[type[nn.Module], str] = {nn.Softmax: "softmax", nn.LogSoftmax: "softmax", nn.Sigmoid: "sigmoid"}
    if not isinstance(head, nn.Sequential) or not len(head) or type(head[-1]) not in ends:
        return head, ""
    return head[:-1], ends[type(head[-1])]


def are_probabilities(answers: Tensor) -> bool:
    """Whether rows (B, classes) of several classes each sum to 1 and hold nothing negative: they are no logits."""
    sums = answers.sum(1)
    whole = torch.allclose(sums, torch.ones_like(sums), atol=1e-4)
    return whole and answers.shape[1] > 1 and bool((answers >= 0).all())
