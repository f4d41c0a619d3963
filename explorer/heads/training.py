"""Heads trained on frozen feature maps, each with its own pooling, all with the same budget."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from explorer.checks import checked_key, checked_whole
from explorer.errors import ParameterError, StoppedError
from explorer.heads.kinds import Head, Prepared
from explorer.progress import Stop

_POWERS_RATE = 0.02  # of GeM's p, a step


def _one_against_all(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over photos and classes: each class is a yes or no, and a photo is a yes of its own class alone."""
    targets = functional.one_hot(labels, logits.shape[1]).to(logits.dtype)
    return functional.binary_cross_entropy_with_logits(logits, targets)


class Loss(NamedTuple):
    """What a head is trained by.

    Attributes:
        name: for people.
        of: logits (N, classes) and class indices (N,) to one number, differentiable.
        activation: of a network with such a head, see Network.activation. Logits that were trained one against all
            answer for each class alone; their softmax is no probability that anything was trained for.
    """

    name: str
    of: Callable[[Tensor, Tensor], Tensor]
    activation: str


LOSSES: MappingProxyType[str, Loss] = MappingProxyType({
    "ce": Loss("cross-entropy", functional.cross_entropy, "softmax"),
    "bce": Loss("one against all", _one_against_all, "sigmoid"),
})


@dataclass(frozen=True)
class Budget:
    """How long and how fast every kind of head is trained.

    A head of 62,720 numbers moves fifty times as far in one step as one of 1,280 at the same learning rate; it would
    then lose by its step and not by its size. So the budget has a step in logits, and the learning rate follows from
    it: `step` over the mean sum of a pooled vector's magnitudes. AdamW's weights then move a logit by at most about
    `step`, as its bias does. It is the same as bringing all pooled vectors to one size before training. A query's rate
    is divided by sqrt(C), which is the same as a scaled dot product (Vaswani et al., Attention Is All You Need, 2017,
    arXiv:1706.03762), and GeM's p, which is in other units, has a separate rate.

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
        checked_whole(self.epochs, 1, None, "budget's epochs")
        checked_whole(self.every, 1, None, "budget's every")
        if self.patience is not None:
            checked_whole(self.patience, 1, None, "budget's patience")
        if not self.step > 0 or not self.weight_decay >= 0:
            raise ParameterError(f"The budget's step is {self.step!r} and its weight decay {self.weight_decay!r}; "
                                 "expected a step above 0 and a decay of 0 or more.")


BUDGET = Budget()


class Epoch(NamedTuple):
    """Where training stood after `epoch` steps: mean loss, and share of photos answered correctly."""

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float


@dataclass(frozen=True, eq=False)
class TrainedHead:
    """A head and how its training went.

    Attributes:
        module: (N, C, H, W) to logits (N, classes); in evaluation mode, without gradients.
        kept: the epoch that the module is of, and its losses and accuracies.
        history: every look at the validation photos, in order.
    """

    module: Head
    kept: Epoch
    history: tuple[Epoch, ...]


class Photos(NamedTuple):
    """Some photos, prepared for one kind of head: (n, ...) and their classes (n,)."""

    prepared: Prepared
    labels: Tensor


@torch.enable_grad()
def fit(
    module: Head, train: Photos, validation: Photos, budget: Budget = BUDGET,
    progress: Callable[[int], None] | None = None, stop: Stop | None = None, loss: str = "ce",
) -> TrainedHead:
    """Train a head on prepared photos; `progress` is called with the epochs that are done.

    `loss` is a key of LOSSES: "ce", cross-entropy over the classes, or "bce", each class against all others.

    Raises StoppedError when `stop` returns True, ParameterError for another loss.
    """
    loss_of = LOSSES[checked_key(loss, LOSSES, "loss")].of
    optimiser = _optimiser(module, train, budget)
    history, best, state = [], None, None
    for epoch in range(budget.epochs + 1):
        if stop and stop():
            raise StoppedError(f"Stopped after {epoch} of {budget.epochs} epochs of {module.name}.")
        logits = module.linear(module.pool(train.prepared))
        train_loss = loss_of(logits, train.labels)
        if epoch % budget.every == 0 or epoch == budget.epochs:
            history.append(_look(epoch, logits.detach(), train.labels, module, validation, loss))
            if budget.patience and (best is None or history[-1].validation_loss < best.validation_loss):
                best, state = history[-1], deepcopy(module.state_dict())
        if epoch == budget.epochs or (best and budget.patience and epoch - best.epoch >= budget.patience):
            break
        optimiser.zero_grad()
        train_loss.backward()
        optimiser.step()
        module.settle()
        if progress:
            progress(epoch + 1)
    if progress:
        progress(budget.epochs)
    if state:
        module.load_state_dict(state)
    return TrainedHead(module.eval().requires_grad_(False), best or history[-1], tuple(history))


def _optimiser(module: Head, train: Photos, budget: Budget) -> torch.optim.AdamW:
    """AdamW whose learning rates follow from the budget's step and the pooled vectors as they are before training."""
    with torch.no_grad():
        size = float(module.pool(train.prepared).abs().sum(1).mean())
    rate = budget.step / size if size > 0 else budget.step
    per_query = rate / math.sqrt(module.shape[0])
    rates = {"p": _POWERS_RATE, "query": per_query, "queries": per_query}
    groups = []
    for name, parameter in module.named_parameters():
        is_weight = name != "p" and not name.endswith("bias")
        own = rates.get(name, rate if is_weight else budget.step)
        # AdamW shrinks by lr * weight_decay: by the same share whatever the rate is.
        decay = budget.weight_decay * budget.step / own if is_weight else 0.0
        groups.append({"params": [parameter], "lr": own, "weight_decay": decay})
    return torch.optim.AdamW(groups)


@torch.no_grad()
def _look(epoch: int, logits: Tensor, labels: Tensor, module: Head, validation: Photos, loss: str) -> Epoch:
    others = module.linear(module.pool(validation.prepared))
    return Epoch(epoch, *loss_and_accuracy(logits, labels, loss), *loss_and_accuracy(others, validation.labels, loss))


def loss_and_accuracy(logits: Tensor, labels: Tensor, loss: str = "ce") -> tuple[float, float]:
    """Mean loss of logits (N, classes), and the share of photos whose largest logit is their class's."""
    return (float(LOSSES[loss].of(logits, labels)),
            float((logits.argmax(1) == labels).float().mean()))
