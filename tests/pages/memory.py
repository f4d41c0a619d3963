"""What the process remembers of networks between tests."""

from __future__ import annotations

from explorer.ui.session import cache


def forget(*names: str) -> None:
    """The next one who wants such a network loads it again."""
    cache._analysed.clear()
    for name in names:
        cache._slot.clear(name)
        cache._BY_NAME.pop(name, None)
