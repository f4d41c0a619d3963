"""A network cut into backbone, pooling and head, with its preprocessing, class names and layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain

import torch
from torch import Tensor, nn

from explorer.checks import checked_key, is_whole
from explorer.errors import MethodError, ParameterError
from explorer.framing import Preprocessing
from explorer.networks.calibration import Calibration
from explorer.networks.cutting.splitting import NoGlobalPooling, split_at_global_pool
from explorer.networks.cutting.taps import OneOutput, output_names, own_copy
from explorer.networks.engine import Engine
from explorer.networks.head import head_kind
from explorer.networks.layers import Layers
from explorer.networks.probing import (
    are_probabilities,
    digest_of,
    example_input,
    fitted,
    names_for,
    without_activation,
)
from explorer.networks.trained_heads import TrainedPooling
from explorer.poolings import POOLINGS, Pooling
from explorer.wording import Value

ACTIVATIONS = ("softmax", "sigmoid", "none", "given")
ONE_OUTPUT = ("It has a single output, which is taken for the logit of a yes or no; if it is a number of its own "
              "(regression, a value such as an age), load it with the activation none.")


@dataclass(frozen=True, eq=False)
class Network:
    """Parts of an image classifier: logits = head(pooling(backbone(x))).

    It never changes (evaluation mode, no gradients on parameters, no hooks), so any number of threads may share it.

    Attributes:
        name: as `load_network` takes it; title: for people.
        backbone: (B, channels, h, w) to feature maps (B, C, H, W); channels are 3, or 1 for a network of grey images.
        pooling: its own global pooling, with `pooling_parameters`; None when it has none, and then `reason` says why.
        head: (B, C) to logits (B, classes); without a pooling (B, C, H, W) to logits, or a module that cannot be run
            alone, see `layers`.
        class_names: one a class.
        preprocessing: of its input.
        digest: sha256 of the weights' file, hex.
        origin: where the weights come from, one line.
        cautions: sentences on what was assumed and may be wrong; the card and the terminal show them.
        siblings: by the name of an architecture that has the same tensors and computes something else with them, what
            makes a network of it with these weights.
        calibration: fitted multipliers for its own head under other poolings; empty when none were fitted.
        activation: "softmax" when one class excludes the others, "sigmoid" when each is answered alone, "none" when its
            numbers are values of their own (regression), "given" when it gives probabilities and no logits could be
            found behind them.
        layers: inside the backbone.
        reason: one sentence why there is no global pooling; "" when there is one.
        cut: how the pooling's place was found: "known", "traced", "watched", "followed" (a class
            token) or "named"; "" when there is none.
        trained: further poolings by key, with their parameters and the heads that were trained with them; they need not
            be in the registry. Such a head answers under any parameters of its pooling.
        engine: what runs the backbone; None is one that chooses alone, see `explorer.networks.engine`.
    """

    name: str
    title: str
    backbone: nn.Module
    pooling: Pooling | None
    head: nn.Module
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    digest: str
    origin: str
    cautions: tuple[str, ...] = ()
    siblings: Mapping[str, Callable[[], Network]] = field(default_factory=dict)
    pooling_parameters: Mapping[str, float] = field(default_factory=dict)
    calibration: Calibration = field(default_factory=Calibration)
    activation: str = "softmax"
    layers: Layers = field(default_factory=Layers)
    reason: str = ""
    cut: str = "known"
    trained: Mapping[str, TrainedPooling] = field(default_factory=dict)
    engine: Engine = None  # type: ignore[assignment]  # filled in below

    def __post_init__(self) -> None:
        checked_key(self.activation, ACTIVATIONS, "activation")
        self._check_trained()
        for part in (self.backbone, *self.heads):
            part.eval()
            part.requires_grad_(False)
        if self.engine is None or self.engine.backbone is not self.backbone:  # `replace` may have changed it
            object.__setattr__(self, "engine", Engine(self.backbone))

    @property
    def unit(self) -> str:
        """What its numbers are counted in: logits, or of a regression the units of its value, which no file names."""
        return "units" if self.activation == "none" else "logits"

    @property
    def number(self) -> str:
        """What one of its numbers is: a logit, or of a regression a value."""
        return "value" if self.activation == "none" else "logit"

    def _check_trained(self) -> None:
        own = self.pooling
        if self.trained and own is None:
            raise ParameterError("Heads were trained with poolings, and the network has no pooling; expected one.")
        for key, trained in self.trained.items():
            if key != trained.pooling.key:
                raise ParameterError(f"The pooling {trained.pooling.key!r} is among the trained as {key!r}; expected "
                                     "its own key.")
            if own is not None and key == own.key:
                raise ParameterError(f"The pooling {key!r} is the network's own; expected others among the trained.")
            trained.pooling.resolve(trained.parameters)

    @classmethod
    def from_module(
        cls,
        module: nn.Module,
        preprocessing: Preprocessing | None = None,
        class_names: Sequence[str] | None = None,
        *,
        name: str = "module",
        title: str = "",
        origin: str = "a module of your own",
        digest: str = "",
        activation: str | None = None,
        layer: str | None = None,
        output: str | int | None = None,
        word: str = "class",
        cautions: tuple[str, ...] = (),
    ) -> Network:
        """A network of any image classifier: the module itself is not changed, its weights are shared.

        Args:
            module: (B, channels, h, w) to logits (B, classes).
            preprocessing: of its input; None is ImageNet's usual one. Its stride is measured here.
            class_names: one a class; None numbers them.
            name, title, origin, digest: see Network; None or "" are filled in.
            activation: "softmax", "sigmoid" or "none" (values and no logits, as of a regression); None is the network's
                own at its end, else sigmoid for a single logit, else softmax. A softmax or sigmoid at its end is
                removed, so that logits are logits.
            layer: path of the module after which to cut, where the search does not find the pooling.
            output: key or number of the output that has the logits, of a module that gives a dict or a tuple; None is
                "logits", or the first one, and a caution says so.
            word: for an output without a name.
            cautions: see Network.

        Raises:
            NetworkError: the module cannot be copied or run, or is no classifier.
            ParameterError: the class names are not as many as the logits, or the activation does not exist.
            NoGlobalPooling: with `layer` alone: what follows it is not a pooling and a head. Without `layer` a
                network that has no pooling is made all the same, with `pooling` None and its `reason`.
        """
        preprocessing = preprocessing or Preprocessing()
        if output is not None:
            module, layer = OneOutput(module, output), f"model.{layer}" if layer else None
        x, own = example_input(preprocessing), own_copy(module)
        try:
            split, reason = split_at_global_pool(module, x, layer), ""
        except NoGlobalPooling as error:
            split, reason = None, str(error)
        layers = Layers(own, x)
        if split is None and (layer is not None or not layers.all):
            raise NoGlobalPooling(reason)
        backbone = split.backbone if split else layers.backbone()
        rows = split.shape[1] if split else layers.all[-1].shape[1]
        logits = layers.logits(x)
        if len(outputs := output_names(answer := layers.output(x))) > 1:
            taken = "logits" if "logits" in outputs or hasattr(answer, "logits") else outputs[0]
            cautions += (f"The network gives {len(outputs)} outputs ({', '.join(map(str, outputs[:6]))}); the logits "
                         f"are read from {taken}. Network.from_module's output chooses another.",)
        head, applied = without_activation(split.head) if split else (nn.Identity(), "")
        if not applied and are_probabilities(layers.logits(torch.cat([x, 3 * x + 1, 0.3 * x - 1]))):
            applied = "given"
        fitting = fitted(preprocessing, backbone, rows, split or layers.logits, layers.logits)
        return cls(
            name=name, title=title or type(module).__name__, origin=origin, digest=digest or digest_of(own),
            backbone=backbone, pooling=split.pooling if split else None, head=head,
            pooling_parameters=split.parameters if split else {}, cut=split.way if split else "",
            class_names=names_for(logits.shape[1], class_names, word), preprocessing=fitting,
            activation=activation or applied or ("sigmoid" if logits.shape[1] == 1 else "softmax"),
            layers=layers, reason=reason,
            cautions=(*cautions, *((ONE_OUTPUT,) if logits.shape[1] == 1 and not activation and not applied else ())),
        )

    def run_by(self, engine: str) -> Network:
        """The same network with another engine: "torch", "onnx" (a graph is written, unless there is one) or "auto".

        Raises ParameterError for another engine, NetworkError where there is no graph that gives the same maps.
        """
        if engine == self.engine.choice:
            return self
        other = replace(self, engine=self.engine.chosen(engine))
        if engine == "onnx":
            other.engine.write_graph(example_input(self.preprocessing))
        return other

    @cached_property
    def head_kind(self) -> str:
        """"affine" (its evidence is exact) or "nonlinear" (its evidence is integrated); "none" without a pooling."""
        return head_kind(self.head) if self.pooling else "none"

    @cached_property
    def poolings(self) -> Mapping[str, Pooling]:
        """All poolings that it can be used with, by key: its own where the registry lacks it, the registry's, and the
        trained ones, whose usual parameter is the trained one. Empty without a pooling."""
        if self.pooling is None:
            return {}
        own = {} if self.pooling.key in POOLINGS else {self.pooling.key: self.pooling}
        return own | dict(POOLINGS) | {key: _as_trained(trained) for key, trained in self.trained.items()}

    @property
    def heads(self) -> tuple[nn.Module, ...]:
        """Its own head, then those of the trained poolings."""
        return self.head, *(trained.head for trained in self.trained.values())

    @cached_property
    def parameters(self) -> int:
        """Number of weights, with those of trained heads; shared ones are counted once."""
        whole = self.layers.model
        parts = (whole, *self.heads[1:]) if whole else (self.backbone, *self.heads)
        unique = {id(weight): weight.numel() for weight in chain.from_iterable(part.parameters() for part in parts)}
        return sum(unique.values())

    def pooling_of(self, key: str) -> Pooling:
        """The pooling of that key, with the parameter that is usual for this network.

        Raises MethodError when there is no pooling to replace, ParameterError for an unknown key.
        """
        if self.pooling is None:
            raise MethodError(self.reason)
        return self.poolings[checked_key(key, self.poolings, "pooling")]

    def head_under(self, pooling: str) -> nn.Module:
        """The head that answers under the pooling of that key: the one that was trained with it, else its own.

        Raises MethodError and ParameterError as `pooling_of` does.
        """
        self.pooling_of(pooling)
        return self.trained[pooling].head if pooling in self.trained else self.head

    def is_native(self, pooling: str, parameters: Mapping[str, float]) -> bool:
        """Whether this is the network's own pooling, with which its own head was trained, by whichever name.

        A class token's own is the sum of what was written into it, and so is GAP of its feature maps.
        """
        own = self.pooling
        return own is not None and (pooling == own.key or self.poolings[pooling].compute_value is own.compute_value) \
            and dict(parameters) == own.resolve(dict(self.pooling_parameters))

    def label(self, pooling: str, parameters: Mapping[str, float]) -> str:
        """"native"; "trained" where the head was trained with just this pooling; else "what-if"."""
        if self.is_native(pooling, parameters):
            return "native"
        trained = self.trained.get(pooling)
        is_trained = trained and dict(parameters) == trained.pooling.resolve(trained.parameters)
        return "trained" if is_trained else "what-if"

    def multiplier(self, pooling: str, parameters: Mapping[str, float]) -> float | None:
        """The fitted number that calibrates a what-if; None where none was fitted, or it is no what-if.

        It was fitted to the network's own head, and does not hold for a trained one.
        """
        if pooling in self.trained or self.is_native(pooling, parameters):
            return None
        return self.calibration.multiplier(pooling, parameters)

    def probabilities(self, logits: Tensor, dimension: int = -1) -> Tensor:
        """Of logits, with the classes along that dimension."""
        if self.activation in ("none", "given"):
            return logits
        if self.activation == "softmax" and logits.shape[dimension] == 1:
            return torch.softmax(logits, dimension)
        shares = torch.sigmoid(logits) if self.activation == "sigmoid" else torch.softmax(logits, dimension)
        # Nothing is certain but a single class: 1 by rounding becomes the largest number below 1.
        return shares.clamp_max(1.0 - torch.finfo(logits.dtype).eps / 2)

    def probability(self, share: float) -> float:
        """One of its probabilities as an answer has it: a `Value` where it is none, and is not written in percent."""
        return Value(share) if self.activation == "none" else share

    def check_class(self, index: int) -> int:
        """The index itself, or a ParameterError when there is no such class."""
        if not is_whole(index) or not 0 <= index < len(self.class_names):
            raise ParameterError(f"There is no class {index!r}; expected a whole number from 0 to "
                                 f"{len(self.class_names) - 1}.")
        return index

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of inputs (B, channels, h, w): one forward pass."""
        if self.pooling is None:
            return self.layers.logits(x)
        return self.head(self.pooling.value(self.engine(x), **self.pooling_parameters))


def _as_trained(trained: TrainedPooling) -> Pooling:
    """The pooling, with the learned parameter as its usual one."""
    learned = trained.pooling.resolve(trained.parameters)
    return trained.pooling.with_default(*learned.values()) if learned else trained.pooling
