"""Heads trained on frozen feature maps, each with its own pooling, all with the same budget."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from explorer.errors import ParameterError, StoppedError
from explorer.heads.kinds import KINDS, Head, Prepared, kinds_of
from explorer.heads.quantised import Quantised, photos_of
from explorer.progress import Progress, Stop

_POWERS_RATE = 0.02  # of GeM's p, a step


@dataclass(frozen=True)
class Budget:
    """How long and how fast every kind of head is trained.

    A head of 62,720 numbers moves fifty times as far in one step as one of 1,280 at the same learning rate; it would
    then lose by its step and not by its size. So the budget has a step in logits, and the learning rate follows from
    it: `step` over the mean sum of a pooled vector's magnitudes. AdamW's weights then move a logit by at most about
    `step`, as its bias does. It is the same as bringing all pooled vectors to one size before training. A query's rate
    is divided by sqrt(C), which is the same as a scaled dot product (Vaswani et al., Attention Is All You Need, 2017,
    arXiv:1706.03762), and GeM's p, which is a number in units of its own, has a rate of its own.

    Attributes:
        epochs: at most; an epoch is one step of AdamW (Loshchilov and Hutter, Decoupled Weight Decay Regularization,
            2019, arXiv:1711.05101) over all photos at once.
        patience: epochs without a smaller validation loss after which training ends and the best epoch is kept; None
            spends the whole budget and keeps the last.
        every: epochs between two looks at the validation photos.
        step: logits.
        weight_decay: a step shrinks all weights by the share `step * weight_decay`, but neither biases nor p.
    """

    epochs: int = 200
    patience: int | None = 40
    every: int = 5
    step: float = 1.0
    weight_decay: float = 0.001

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("every", 1), ("patience", 1)):
            value = getattr(self, name)
            if not (name == "patience" and value is None) and (not isinstance(value, int) or value < least):
                raise ParameterError(f"The budget's {name} is {value!r}; expected a whole number from {least}.")
        if not self.step > 0 or not self.weight_decay >= 0:
            raise ParameterError(f"The budget's step is {self.step!r} and its weight decay {self.weight_decay!r}; "
                                 "expected a step above 0 and a decay of 0 or more.")


BUDGET = Budget()


class Epoch(NamedTuple):
    """Where training stood after `epoch` steps: mean cross-entropy, and share of photos answered correctly."""

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float


@dataclass(frozen=True, eq=False)
class TrainedHead:
    """A head and how its training went.

    Attributes:
        kind: key of KINDS.
        module: (N, C, H, W) to logits (N, classes); in evaluation mode, without gradients.
        parameters: how many numbers were learned.
        kept: the epoch that the module is of, and its losses and accuracies.
        history: every look at the validation photos, in order.
        seconds: that it took, with the pooled vectors.
    """

    kind: str
    module: Head
    parameters: int
    kept: Epoch
    history: tuple[Epoch, ...]
    seconds: float

    @property
    def epochs(self) -> int:
        """How many were run; `kept.epoch` is the one that is kept."""
        return self.history[-1].epoch


class Photos(NamedTuple):
    """Some photos, prepared for one kind of head: (n, ...) and their classes (n,)."""

    prepared: Prepared
    labels: Tensor


def train_heads(
    features: Tensor | Quantised, labels: Tensor, kinds: Sequence[str] = tuple(KINDS), *,
    validation: float | Tensor = 0.2, budget: Budget = BUDGET, seed: int = 0, progress: Progress | None = None,
    stop: Stop | None = None,
) -> dict[str, TrainedHead]:
    """Train one head of each kind on frozen feature maps, with the same split and the same budget for all.

    Args:
        features: (N, C, H, W), float or quantised.
        labels: (N,) class indices from 0, each with photos on both sides of the split.
        kinds: keys of KINDS.
        validation: the share of each class's photos that only validate, 0 to 1, drawn with `seed`; or (N,) bool,
            which photos they are.
        budget: of each kind; early stopping looks at the validation loss.
        progress: called with epochs done and epochs in all.
        stop: checked at each epoch.

    Returns: by kind, in the order of `kinds`.

    Raises:
        ParameterError: shapes, labels or kinds that do not fit, or a class with too few photos.
        StoppedError: `stop` returned True.
    """
    chosen = kinds_of(kinds)
    labels = checked(features, labels)
    held_out = _split(labels, validation, seed)
    train, others = photos_of(features, ~held_out), photos_of(features, held_out)
    classes, shape, heads = int(labels.max()) + 1, train.shape[1:], {}
    for n, kind in enumerate(chosen):
        begin = time.perf_counter()
        report = progress and (lambda done, n=n: progress(n * budget.epochs + done, len(chosen) * budget.epochs))
        heads[kind.kind] = fit(
            kind(shape, classes), Photos(kind.prepare(train), labels[~held_out]),
            Photos(kind.prepare(others), labels[held_out]), budget, report, stop, begin,
        )
    return heads


def checked(features: Tensor | Quantised, labels: Tensor) -> Tensor:
    """The labels as int64; ParameterError where they or the feature maps are not what they should be."""
    codes = features.codes if isinstance(features, Quantised) else features
    shape, labels = tuple(codes.shape), torch.as_tensor(labels)
    if len(shape) != 4 or 0 in shape or not (codes.is_floating_point() or isinstance(features, Quantised)):
        raise ParameterError(f"The feature maps are {codes.dtype}, {shape}; expected floats or Quantised, "
                             "(N, C, H, W).")
    if tuple(labels.shape) != shape[:1] or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ParameterError(f"The labels are {labels.dtype}, {tuple(labels.shape)}; expected {shape[0]} whole "
                             "numbers.")
    counts = torch.bincount(labels.long()) if labels.min() >= 0 else torch.zeros(1)
    if len(counts) < 2 or not counts.all():
        raise ParameterError(f"The labels are {sorted(set(labels.tolist()))[:20]}; expected two classes or more, "
                             "numbered from 0 without a gap.")
    return labels.long()


def _split(labels: Tensor, validation: float | Tensor, seed: int) -> Tensor:
    """(N,) bool: the photos that only validate; each class has some of them and some others."""
    if isinstance(validation, Tensor):
        if validation.dtype != torch.bool or validation.shape != labels.shape:
            raise ParameterError(f"The validation photos are {validation.dtype}, {tuple(validation.shape)}; expected "
                                 f"bool, {tuple(labels.shape)}.")
        held_out = validation
    else:
        held_out = drawn(labels, validation, seed)
    for index in range(int(labels.max()) + 1):
        of_class = held_out[labels == index]
        if of_class.all() or not of_class.any():
            raise ParameterError(f"Class {index} has {int((~of_class).sum())} photos to train on and "
                                 f"{int(of_class.sum())} to validate on; expected at least one of each.")
    return held_out


def drawn(labels: Tensor, share: float, seed: int) -> Tensor:
    """(N,) bool: that share of each class's photos, one at least."""
    if not 0 < share < 1:
        raise ParameterError(f"The share of validation photos is {share!r}; expected a number between 0 and 1.")
    generator, held_out = torch.Generator().manual_seed(seed), torch.zeros(len(labels), dtype=torch.bool)
    for index in range(int(labels.max()) + 1):
        photos = torch.nonzero(labels == index).flatten()
        order = torch.randperm(len(photos), generator=generator)
        held_out[photos[order[:max(1, round(share * len(photos)))]]] = True
    return held_out


@torch.enable_grad()
def fit(
    module: Head, train: Photos, validation: Photos, budget: Budget = BUDGET,
    progress: Callable[[int], None] | None = None, stop: Stop | None = None, begin: float | None = None,
) -> TrainedHead:
    """Train a head on prepared photos; `progress` is called with the epochs that are done.

    Raises StoppedError when `stop` returns True.
    """
    begin = time.perf_counter() if begin is None else begin
    optimiser = _optimiser(module, train, budget)
    history, best, state = [], None, None
    for epoch in range(budget.epochs + 1):
        if stop and stop():
            raise StoppedError(f"Stopped after {epoch} of {budget.epochs} epochs of {module.name}.")
        logits = module.linear(module.pool(train.prepared))
        loss = functional.cross_entropy(logits, train.labels)
        if epoch % budget.every == 0 or epoch == budget.epochs:
            history.append(_look(epoch, logits.detach(), train.labels, module, validation))
            if budget.patience and (best is None or history[-1].validation_loss < best.validation_loss):
                best, state = history[-1], deepcopy(module.state_dict())
        if epoch == budget.epochs or (best and epoch - best.epoch >= budget.patience):
            break
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        module.settle()
        if progress:
            progress(epoch + 1)
    if progress:
        progress(budget.epochs)
    if state:
        module.load_state_dict(state)
    module.eval().requires_grad_(False)
    count = sum(parameter.numel() for parameter in module.parameters())
    return TrainedHead(module.kind, module, count, best or history[-1], tuple(history), time.perf_counter() - begin)


def _optimiser(module: Head, train: Photos, budget: Budget) -> torch.optim.AdamW:
    """AdamW whose learning rates follow from the budget's step and the pooled vectors as they are before training."""
    with torch.no_grad():
        size = float(module.pool(train.prepared).abs().sum(1).mean())
    rate = budget.step / size if size > 0 else budget.step
    rates = {"p": _POWERS_RATE, "query": rate / math.sqrt(module.shape[0])}
    groups = []
    for name, parameter in module.named_parameters():
        is_weight = name != "p" and not name.endswith("bias")
        own = rates.get(name, rate if is_weight else budget.step)
        # AdamW shrinks by lr * weight_decay: by the same share whatever the rate is.
        decay = budget.weight_decay * budget.step / own if is_weight else 0.0
        groups.append({"params": [parameter], "lr": own, "weight_decay": decay})
    return torch.optim.AdamW(groups)


@torch.no_grad()
def _look(epoch: int, logits: Tensor, labels: Tensor, module: Head, validation: Photos) -> Epoch:
    others = module.linear(module.pool(validation.prepared))
    return Epoch(epoch, *loss_and_accuracy(logits, labels), *loss_and_accuracy(others, validation.labels))


def loss_and_accuracy(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross-entropy of logits (N, classes), and the share of photos whose largest logit is their class's."""
    return (float(functional.cross_entropy(logits, labels)),
            float((logits.argmax(1) == labels).float().mean()))
