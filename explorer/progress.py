"""How a long computation reports how far it is and is asked to stop."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]  # (done, total), in whatever the function counts
Stop = Callable[[], bool]  # True as soon as the result is no longer wanted; the function then raises StoppedError
