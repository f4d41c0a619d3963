"""An analysis and its outcomes: one image and one forward pass, and what the network answers under each pooling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from explorer.analysis.cam_context import LayerContext, PoolingContext, native_context
from explorer.analysis.class_map import ClassMap
from explorer.analysis.forward_pass import ForwardPass
from explorer.analysis.memory import Memory
from explorer.cams import CAM_METHODS, CamContext, cam_method_of
from explorer.errors import MethodError, ParameterError
from explorer.evidence import Evidence, decompose
from explorer.poolings import Pooling, PoolingChoice
from explorer.poolings.native import CLASS_TOKEN
from explorer.wording import exactness, plain, sum_sentence, written_directly

NO_POOLING = "none"  # stands for the key of a pooling where a network has none, as in network.head_kind
CAM_INSTEAD = "grad_cam"  # what is shown and recorded where there is no evidence
_OUTCOMES = 24  # kept by an analysis: a slider that is dragged along a parameter asks for many
_RESULTS, _CLASSES = 256, 256  # kept by an outcome: maps and small numbers; classes with their evidence
_UNDER_WHAT = {"what-if": "a what-if", "trained": "with a head trained for it"}


class Answer(NamedTuple):
    """What the network answers of one class: a line of a top list; rank 1 is the most probable class."""

    class_index: int
    name: str
    probability: float
    logit: float
    rank: int


@dataclass(eq=False, repr=False)
class Analysis(ForwardPass):
    """All that one forward pass left, and everything that follows from it, computed when first needed.

    It may be shared by threads: results are deterministic, and nothing of the network is ever changed.
    """

    results: Memory = field(default_factory=lambda: Memory(_RESULTS), init=False)  # see `remembered`
    _outcomes: Memory = field(default_factory=lambda: Memory(_OUTCOMES), init=False)

    def under(self, pooling: str | None = None, **parameters: float) -> Outcome:
        """What the network answers under a pooling: `under("gem", p=4)`; without a name, under its own.

        Where there is no evidence, `under()` is what the whole network answers.

        Raises:
            ParameterError: an unknown pooling, or a parameter outside its range.
            MethodError: a pooling is named where none can be exchanged.
        """
        native = self.network.pooling
        if native is None or not self.has_evidence:
            if pooling is not None or parameters:
                raise MethodError(self.no_evidence_reason)
            return self._outcomes((), lambda: OutcomeWithoutEvidence(self))
        if pooling is None:
            pooling = native.key
            parameters = parameters or dict(self.network.pooling_parameters)
        resolved = self.network.pooling_of(pooling).resolve(parameters)
        return self._outcomes((pooling, *resolved.values()), lambda: Outcome(self, pooling, resolved))

    def cam(self, method: str, class_index: int, pooling: str | None = None, **options: Any) -> Tensor:
        """(H, W): a published CAM, signed and not normalised, under the native pooling unless one is named.

        Options go to the method: Score-CAM takes `progress(done, total)` and `stop() -> bool`; Finer-CAM
        takes `rivals`, `gamma` and `references`.

        Raises ParameterError (unknown method, class, pooling or option), MethodError, StoppedError.
        """
        return self.under(pooling).cam(method, class_index, **options)

    def votes(self, class_index: int | None = None) -> Tensor:
        """The answer of each position alone, by the network's own head; see `Outcome.votes`."""
        return self.under().votes(class_index)


class Outcome:
    """What the network answers under one pooling, with the evidence for each class.

    Attributes:
        analysis, pooling (its key), parameters (resolved).
        label: "native" for the network's own pooling, "trained" where it brings a head that was trained with this
            one, else "what-if".
    """

    def __init__(self, analysis: Analysis, pooling: str, parameters: dict[str, float]) -> None:
        self.analysis = analysis
        self.pooling = pooling
        self.parameters = parameters
        self.label = analysis.network.label(pooling, parameters)
        self.results = Memory(_RESULTS)  # see `remembered`
        self._tensors = Memory()
        self._evidence = Memory(_CLASSES)

    @property
    def _pooling(self) -> Pooling:
        self.analysis.require_evidence()
        return self.analysis.network.pooling_of(self.pooling)

    @cached_property
    def name(self) -> str:
        """For people: "GeM, p = 3"."""
        return self._pooling.label(**self.parameters)

    @cached_property
    def choice(self) -> PoolingChoice:
        """The pooling as choices and links have it."""
        return PoolingChoice.of(self.pooling, self.parameters, self.analysis.network.poolings)

    @cached_property
    def under_in_words(self) -> str:
        """Under what, within a sentence: "under GMP, a what-if"; "" under the native pooling, which goes without
        saying."""
        return f"under {self.name}, {_UNDER_WHAT[self.label]}" if self.label in _UNDER_WHAT else ""

    @property
    def head(self) -> nn.Module:
        """(B, C) to (B, classes): the one that was trained with this pooling, else the network's own."""
        return self.analysis.network.head_under(self.pooling)

    @property
    def pooled(self) -> Tensor:
        """(C,): the pooled vector."""
        return self._tensors("pooled", lambda: self._pool(self.analysis.feature_maps))

    @property
    def weights(self) -> Tensor:
        """(C, H, W): pooling weights; times the feature maps, summed over positions, they give `pooled`."""
        return self._tensors("weights",
                             lambda: self._pooling.weights(self.analysis.feature_maps, **self.parameters))

    @property
    def logits(self) -> Tensor:
        """(classes,)"""
        return self._tensors("logits", self._logits)

    @torch.no_grad()
    def _logits(self) -> Tensor:
        return self.head(self.pooled[None])[0]

    @cached_property
    def multiplier(self) -> float | None:
        """The fitted number that calibrates this what-if's probabilities; None where there is none or no need."""
        return self.analysis.network.multiplier(self.pooling, self.parameters)

    def probabilities(self, calibrated: bool = False) -> Tensor:
        """(classes,): softmax or sigmoid of the logits, which are multiplied by the fitted number if `calibrated`."""
        factor = (self.multiplier or 1.0) if calibrated else 1.0
        return self._tensors(("probabilities", factor),
                             lambda: self.analysis.network.probabilities(self.logits * factor, 0))

    def top(self, count: int = 5, calibrated: bool = False) -> list[Answer]:
        """The classes with the largest logits, best first; at most as many as there are."""
        return list(self._tensors(("top", count, calibrated), lambda: self._top(count, calibrated)))

    def _top(self, count: int, calibrated: bool) -> list[Answer]:
        best, network = self.logits.topk(min(count, len(self.logits))), self.analysis.network
        classes = best.indices.tolist()
        probabilities = self.probabilities(calibrated)[best.indices].tolist()
        return [
            Answer(index, network.class_names[index], network.probability(probability), logit, rank)
            for rank, (index, probability, logit) in enumerate(
                zip(classes, probabilities, best.values.tolist(), strict=True), 1)
        ]

    def answer(self, class_index: int, calibrated: bool = False) -> Answer:
        """Probability, logit and rank of one class."""
        network = self.analysis.network
        logit, rank = float(self.logits[network.check_class(class_index)]), int(self._ranks[class_index])
        probability = network.probability(float(self.probabilities(calibrated)[class_index]))
        return Answer(class_index, network.class_names[class_index], probability, logit, rank)

    @property
    def _ranks(self) -> Tensor:
        """(classes,): 1 and how many logits are larger, for all classes at once."""
        return self._tensors("ranks", lambda: _ranks(self.logits))

    def evidence(self, class_index: int) -> Evidence:
        """The class's logit, decomposed over positions and channels."""
        return self.evidences([class_index])[0]

    def evidences(self, classes: Sequence[int]) -> list[Evidence]:
        """Evidence for several classes, together at the price of little more than one."""
        missing = [index for index in map(self.analysis.network.check_class, classes) if index not in self._evidence]
        new = {evidence.class_index: evidence for evidence in self._decompose(missing)} if missing else {}
        return [self._evidence(index, partial(self._new_evidence, index, new)) for index in classes]

    def _new_evidence(self, class_index: int, new: Mapping[int, Evidence]) -> Evidence:
        return new[class_index] if class_index in new else self._decompose([class_index])[0]

    def _decompose(self, classes: Sequence[int]) -> list[Evidence]:
        kept = self._tensors("kept", lambda: self.weights * self.analysis.feature_maps)
        return decompose(kept, self.pooled, self.logits, self.head, classes, self._pooling.exact)

    def class_map(self, class_index: int) -> ClassMap:
        """The map that stands for a class, with its words: here its evidence.

        Raises ParameterError when there is no such class.
        """
        evidence, network = self.evidence(class_index), self.analysis.network
        total = float(evidence.cells.sum())
        how = "; ".join((exactness(evidence.exact, evidence.residual, self.logits), *self.direct_share(class_index)))
        return ClassMap(
            evidence.cells, "evidence", f"Evidence for {network.class_names[class_index]}", f"under {self.name}",
            network.unit, (sum_sentence(evidence.logit, evidence.baseline, total, network.number), how))

    def direct_share(self, class_index: int) -> tuple[str, ...]:
        """Of a class token, how much of the logit the patches wrote directly into it, in words; () of others."""
        if self.label != "native" or self.analysis.network.pooling != CLASS_TOKEN:
            return ()
        evidence = self.evidence(class_index)
        return (written_directly(evidence.logit, float(evidence.cells.sum())),)

    def votes(self, class_index: int | None = None) -> Tensor:
        """The answer of each position alone: the probabilities of head(F_ij).

        (H, W) for a class, (classes, H, W) for all. Raises MethodError where the head cannot be run alone.
        """
        network = self.analysis.network
        if class_index is not None:
            network.check_class(class_index)
        logits = self.vote_logits()
        # Poolings that share a head, which lives as long as its network, share the votes and their logits.
        votes = self.analysis.results(("votes", id(self.head)), lambda: network.probabilities(logits, 0))
        return votes if class_index is None else votes[class_index]

    @torch.no_grad()
    def vote_logits(self) -> Tensor:
        """(classes, H, W): the logits behind the votes, head(F_ij). Raises MethodError likewise."""
        self.analysis.require_evidence()
        maps = self.analysis.feature_maps
        return self.analysis.results(
            ("logits of positions", id(self.head)),
            lambda: self.head(maps.flatten(1).T.contiguous()).T.unflatten(1, maps.shape[1:]))

    def cam(self, method: str, class_index: int, **options: Any) -> Tensor:
        """(H, W): a published CAM under this pooling, signed and not normalised; see `Analysis.cam`."""
        self.analysis.network.check_class(class_index)
        chosen = cam_method_of(method)
        if options and (unknown := set(options) - set(chosen.options)):
            raise ParameterError(f"{method} has no option {', '.join(sorted(unknown))}; "
                                 f"expected {', '.join(chosen.options) or 'none'}.")
        decisive = {name: value for name, value in options.items() if name not in {"progress", "stop"}}
        key = ("cam", method, class_index, repr(sorted(decisive.items())))
        return self.results(key, lambda: chosen.compute(self.cam_context, class_index, **options))

    def under_each_pooling(self) -> list[Outcome]:
        """The image under every pooling there is, in the order of `network.poolings`.

        This one's pooling has its parameters, the native one the network's, the others their usual ones. Without
        evidence, this alone.
        """
        analysis = self.analysis
        native = analysis.under()
        known = {native.pooling: native, self.pooling: self}
        return [known.get(key) or analysis.under(key) for key in analysis.network.poolings]

    def on(self, analysis: Analysis) -> Outcome:
        """Another analysis by the same network, under the same pooling."""
        return analysis.under(self.pooling, **self.parameters)

    @property
    def cam_context(self) -> CamContext:
        """What a CAM method may read."""
        return self._tensors("cam_context", self._make_cam_context)

    def _make_cam_context(self) -> CamContext:
        analysis = self.analysis
        return PoolingContext(analysis.input, analysis.feature_maps, self.logits, self.head, self.pooled,
                              analysis.network.engine, self._pool)

    def _pool(self, feature_maps: Tensor) -> Tensor:
        return self._pooling.value(feature_maps, **self.parameters)


def _ranks(logits: Tensor) -> Tensor:
    falling = torch.where(logits.isnan(), -torch.inf, logits).sort(descending=True).values
    return torch.where(logits.isnan(), 1, 1 + torch.searchsorted(-falling, -logits))


class OutcomeWithoutEvidence(Outcome):
    """What the whole network answers, where there is no evidence: `analysis.no_evidence_reason` says why.

    No pooling can take another's place here. It answers and has CAMs as any outcome; `pooled`, `weights`, `evidence`
    and `evidences` raise MethodError.

    Attributes:
        pooling: key of the network's own, with its parameters; "none" without one.
        label: "native".
    """

    def __init__(self, analysis: Analysis) -> None:
        own = analysis.network.pooling
        parameters = own.resolve(dict(analysis.network.pooling_parameters)) if own else {}
        super().__init__(analysis, own.key if own else NO_POOLING, parameters)
        self.label = "native"

    @cached_property
    def name(self) -> str:
        """For people: that of the network's own pooling, or "no pooling"."""
        own = self.analysis.network.pooling
        return own.label(**self.parameters) if own else "no pooling"

    @cached_property
    def choice(self) -> PoolingChoice:
        """None can be chosen."""
        return PoolingChoice(NO_POOLING)

    @property
    def head(self) -> nn.Module:
        """What follows the maps in the network, of whatever kind."""
        return self.analysis.network.head

    def class_map(self, class_index: int) -> ClassMap:
        """The map that stands for a class, with its words: here Grad-CAM, and the reason why it is not evidence.

        Raises ParameterError when there is no such class, MethodError where no gradient can be computed.
        """
        analysis = self.analysis
        kind, name = CAM_METHODS[CAM_INSTEAD].name, analysis.network.class_names[
            analysis.network.check_class(class_index)]
        return ClassMap(
            self.cam(CAM_INSTEAD, class_index), kind, f"{kind} of {name}", analysis.layer_name, "",
            (f"{analysis.network.number} {plain(float(self.logits[class_index]))}", analysis.no_evidence_reason))

    def _logits(self) -> Tensor:
        return self.cam_context.logits

    def under_each_pooling(self) -> list[Outcome]:
        """This alone."""
        return [self]

    def on(self, analysis: Analysis) -> Outcome:
        """Another analysis by the same network at the same layer."""
        return analysis.under()

    def _make_cam_context(self) -> CamContext:
        analysis, own = self.analysis, self.analysis.network.pooling
        if own is not None and analysis.layer is None:  # there is a pooling, and a head that cannot be decomposed
            return native_context(analysis.network, analysis.input, analysis.feature_maps)
        return LayerContext(analysis.input, analysis.feature_maps, analysis.network.layers, analysis.layer_key)
