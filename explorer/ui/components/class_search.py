"""A search over all classes of a network: each with its probability and rank, which the browser has at hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import lru_cache

from explorer.analysis import Outcome
from explorer.live.packing import pack_exactly
from explorer.ui.components.library import handler, part
from explorer.ui.components.viewer import sent, source
from explorer.ui.session.page_cache import drawn

_search = part("class_search", '<div class="class_search"></div>')


def class_search(
    names: Sequence[str], key: str, label: str, on_class: Callable[[int | None], None], *, value: int | None = None,
    follows: bool = False, without: int | None = None, empty: str = "", clearable: bool = False,
) -> None:
    """Show a field in which a few letters list the classes whose names hold them, the likeliest first.

    It waits for `put_names` of the same names and for `put_answers`, once a page.

    Args:
        names: of all classes of the network.
        label: what stands above it.
        on_class: gets the class that is picked, or None where it was cleared.
        value: the class that it shows; None is none.
        follows: whether it shows the class of the page instead, from `put_answers`.
        without: a class that cannot be picked.
        empty: what it shows where there is no class.
        clearable: whether "no class" can be picked.
    """
    key_of_names, _ = _names(tuple(names))
    _search(data={"network": key_of_names, "label": label, "class": value, "follows": follows, "without": without,
                  "empty": empty, "clearable": clearable}, key=key,
            on_pick_change=handler(key, "pick", lambda picked: on_class(None if picked < 0 else int(picked))))


def put_names(names: Sequence[str]) -> None:
    """Give every `class_search` of the page the names of all classes."""
    source(_names(tuple(names))[1], key="names")


def put_answers(outcome: Outcome, class_index: int, calibrated: bool) -> None:
    """Give every `class_search` of the page the logits of all classes, and the class that the page shows."""
    key, data = drawn(outcome, ("answers", calibrated), lambda: _answers(outcome, calibrated))
    source(data, key="answers")
    source(sent("shown", {"class": class_index, "answers": key}), key="shown")


@lru_cache(maxsize=16)
def _names(names: tuple[str, ...]) -> tuple[str, bytes]:
    text = json.dumps(names)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return key, sent("names", {"key": key, "names": names})


def _answers(outcome: Outcome, calibrated: bool) -> tuple[str, bytes]:
    factor = (outcome.multiplier if calibrated else None) or 1
    content = {"logits": pack_exactly(outcome.logits.numpy()), "factor": factor,
               "under": "" if outcome.label == "native" else f"Under {outcome.name}, {outcome.label}",
               "activation": outcome.analysis.network.activation}
    key = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
    return key, sent("answers", {"key": key, **content})
