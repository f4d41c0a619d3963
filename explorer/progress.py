"""How a long computation reports how far it is and can be stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor

from explorer.errors import StoppedError

Progress = Callable[[int, int], None]  # (done, total), in whatever the function counts
Stop = Callable[[], bool]  # True as soon as the result is no longer needed; the function then raises StoppedError


def in_batches(
    items: Sequence[Any] | Tensor, size: int, unit: str, progress: Progress | None, stop: Stop | None
) -> Iterator[Any]:
    """`items` in slices of `size`.

    Before each batch `stop` is checked, which raises StoppedError with the count and the `unit`; after it `progress`
    gets (items done, items in all).
    """
    for start in range(0, len(items), size):
        if stop is not None and stop():
            raise StoppedError(f"Stopped after {start} of {len(items)} {unit}.")
        yield items[start : start + size]
        if progress is not None:
            progress(min(start + size, len(items)), len(items))
