"""Lesson 8: where attention looks, learned and without anything learned, and how each photo sets the gate."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch

from explorer.analysis import Analysis
from explorer.heads import sample
from explorer.lessons.attention import TEMPERATURES, Adaptive, attention_and_adaptive, gate_of, teaches
from explorer.networks import Network
from explorer.networks.loading.bundled import BUNDLED
from explorer.questions.comparison import fewest_positions
from explorer.sections.nodes import Node, el
from explorer.ui.components.board import board
from explorer.ui.components.viewer import Look, stack, viewer
from explorer.ui.maps import weights_map
from explorer.ui.pages.lessons.lesson_pictures import bars
from explorer.ui.pages.lessons.scene import Control, Scene
from explorer.ui.session.cache import analysis_of, network_named
from explorer.ui.session.session import EXAMPLES, example_photo
from explorer.wording import percent, shortened

TEACHER = "flowers"
FLOWERS = "The flowers it was trained for, at most"
TALLEST_IN_A_TALK = 420  # px of a photo


def controls(scene: Scene) -> tuple[Control, ...]:
    """The temperature, for both attentions. Raises MethodError without evidence."""
    scene.analysis.require_evidence()
    return (Control("temperature", "Temperature, times the usual", TEMPERATURES, 1.0, lambda times: f"× {times:g}"),)


def draw(scene: Scene, chosen: dict[str, Any]) -> str:
    """Both attentions on the photo, and the gate of this photo among those of the examples and of flowers."""
    teacher = _teacher(scene.analysis.network)
    result = attention_and_adaptive(scene.analysis, teacher, chosen["temperature"])
    maps = [weights_map(f"looking.{attention.key}", attention.name, attention.weights, attention.name)
            for attention in (result.free, result.learned) if attention is not None]
    viewer(scene.analysis, scene.session.photo.digest, stack(maps), key="attentions", name="Where attention looks",
           look=Look(across=2, tallest=TALLEST_IN_A_TALK if scene.presenting else 300, toolbar=False))
    gates = _gates(scene, result, teacher)
    if not scene.presenting:
        shown = el("div", el("h3", "The gate: share of the average, the rest is the maximum"), bars(
            [(name, share or 0.0, "none" if share is None else percent(share)) for name, share in gates.items()],
            1.0, 0)) if gates else None
        board(el("div", _predictions(result, teacher), shown, class_="sidebyside ruled"), key="adaptive")
    count = fewest_positions(result.free.weights)
    return f"Attention gives {count} of {result.free.weights.size} positions 80% of its weight{_of_gates(gates)}."


def _teacher(network: Network) -> Network | None:
    """A network with learned poolings for these feature maps: itself, or the bundled one."""
    if "learned_attention" in network.trained:
        return network
    bundled = network_named(TEACHER) if network.name in BUNDLED else None
    return bundled if bundled and teaches(bundled, network) else None


def _predictions(result: Adaptive, teacher: Network | None) -> Node:
    if teacher is None or result.learned is None:
        return el("div", el("h3", "Learned attention"), el(
            "p", "This network brings no learned query. The bundled network of five flowers does: choose it, or "
                 "EfficientNet-Lite0, whose feature maps it shares.", class_="note"))
    answers = {result.learned.name: result.learned.answer, "Gated mix": result.gated}
    return el("div", el("h3", f"Predictions of the learned poolings ({teacher.title})"), *(
        el("p", f"{name}: {shortened(answer.name, 40)}, {percent(answer.probability)}")
        for name, answer in answers.items() if answer),
        el("p", f"Their query and gate were learned on photos of {len(teacher.class_names)} flowers and know no other "
                "class: on any photo they look for flowers.", class_="note"))


def _gates(scene: Scene, result: Adaptive, teacher: Network | None) -> dict[str, float | None]:
    """The gate of this photo, of the examples, and its largest of the flowers' maps that are shipped."""
    if result.gate is None:
        return {}
    gates: dict[str, float | None] = {"This photo": result.gate}
    for name, words in EXAMPLES.items():
        if name != scene.session.choices.example:
            gates[words] = attention_and_adaptive(_example(scene, name), teacher).gate
    taught = teacher or scene.analysis.network
    return gates | ({FLOWERS: _largest_of_flowers()} if taught.name == TEACHER else {})


@cache
def _largest_of_flowers() -> float:
    flowers, teacher = sample().features, network_named(TEACHER)
    gates = (gate_of(flowers.floats(torch.tensor([n]))[0], teacher)[0] for n in range(0, len(flowers.codes), 5))
    return max(gate for gate in gates if gate is not None)


def _of_gates(gates: Mapping[str, float | None]) -> str:
    """Whether the gate mixes anew for each photo, as the claim has it."""
    shares = [share for share in gates.values() if share is not None]
    if not shares:
        return ""
    low, high = percent(min(shares)), percent(max(shares))
    if low != high:
        return f"; the gate gives the average {low} to {high}, anew for each photo"
    flowers = " and the flowers of its training" if FLOWERS in gates else ""
    return f"; this gate does not mix: on the examples{flowers} the average has {low}"


def _example(scene: Scene, name: str) -> Analysis:
    """An example framed as the network was trained, from the session's cache."""
    photo, network = example_photo(name), scene.analysis.network
    return analysis_of(network, photo.image, photo.digest, "crop", network.preprocessing.size)
