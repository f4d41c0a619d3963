"""Lesson 8: where attention looks, learned and without anything learned, and how each photo sets the gate."""

from __future__ import annotations

from explorer.analysis import Analysis
from explorer.lessons.attention import TEMPERATURES, Adaptive, Looking, attention_and_adaptive, teaches
from explorer.networks import Network
from explorer.networks.loading.bundled import BUNDLED
from explorer.ui.components.board import Node, board, el
from explorer.ui.components.viewer import Look, Map, stack, viewer
from explorer.ui.pages.lessons.lesson_controls import Control, ask
from explorer.ui.pages.lessons.lesson_page import Scene
from explorer.ui.pages.lessons.lesson_pictures import bars
from explorer.ui.session.cache import analysis_of, network_named
from explorer.ui.session.session import EXAMPLES, example_photo
from explorer.wording import percent, shortened

TEACHER = "flowers"


def controls(scene: Scene) -> tuple[Control, ...]:
    """The temperature, for both attentions."""
    return (Control("temperature", "Temperature, times the usual", TEMPERATURES, 1.0, lambda times: f"× {times:g}"),)


def teach(scene: Scene) -> None:
    """Both attentions on the photo, and the gate of this photo among those of the examples."""
    scene.analysis.require_evidence()
    put = ask(scene.current, controls(scene))
    teacher = _teacher(scene.analysis.network)
    found = attention_and_adaptive(scene.analysis, teacher, put["temperature"])
    shown = [found.free] if found.learned is None else [found.free, found.learned]
    viewer(scene.analysis, scene.current.photo.digest, stack([_map(each) for each in shown]), key="attentions",
           name="Where attention looks", look=Look(across=2, tallest=300, toolbar=False))
    board(el("div", _said(found, teacher), _gates(scene, found, teacher), class_="sidebyside ruled"), key="adaptive")


def _teacher(network: Network) -> Network | None:
    """A network with learned poolings for these feature maps: itself, or the bundled one."""
    if "learned_attention" in network.trained:
        return network
    bundled = network_named(TEACHER) if network.name in BUNDLED else None
    return bundled if bundled and teaches(bundled, network) else None


def _map(looking: Looking) -> Map:
    return Map(
        id=f"looking.{looking.key}", values=looking.weights, name=f"Where {looking.name} looks", kind="positive",
        unit="share", unit_name="of the weight", title=looking.name, scale="looks",
        lines=(f"{looking.carrying} of {looking.weights.size} positions carry 80%",
               f"entropy {looking.bits:.1f} of {looking.most_bits:.1f} bits"),
    )


def _said(found: Adaptive, teacher: Network | None) -> Node:
    if teacher is None or found.learned is None:
        return el("div", el("h3", "Learned attention"), el(
            "p", "This network brings no learned query. The bundled network of five flowers does: choose it, or "
                 "EfficientNet-Lite0, whose feature maps it shares.", class_="note"))
    answers = [(each.name, each.answer) for each in (found.learned,)]
    answers += [("Gated mix", found.gated)] if found.gated else []
    return el("div", el("h3", f"What the learned ones say ({teacher.title})"), *(
        el("p", f"{name}: {shortened(answer.name, 40)}, {percent(answer.probability)}") for name, answer in answers),
        el("p", f"Their query and gate were learned on photos of {len(teacher.class_names)} flowers and know no other "
                "class: on any photo they look for flowers.", class_="note"))


def _gates(scene: Scene, found: Adaptive, teacher: Network | None) -> Node | None:
    if found.gate is None:
        return None
    rows = [("This photo", found.gate, percent(found.gate))]
    for name, words in EXAMPLES.items():
        if name != scene.current.choices.example:
            gate = attention_and_adaptive(_example(scene, name), teacher).gate
            rows.append((words, gate or 0.0, "none" if gate is None else percent(gate)))
    return el("div", el("h3", "The gate: share of the average, the rest is the maximum"), bars(rows, 1.0, 0))


def _example(scene: Scene, name: str) -> Analysis:
    """An example as the network was trained; pages remember it."""
    photo, network = example_photo(name), scene.analysis.network
    return analysis_of(network, photo.image, photo.digest, "crop", network.preprocessing.size)
