"""Tensors made from what a file claims of them, after the claim was held against the file's bytes."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor

from explorer.errors import NetworkError
from explorer.networks.loading.archive import shown
from explorer.networks.loading.pickled import Claim

READABLE = frozenset({torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32,
                      torch.int16, torch.int8, torch.uint8, torch.bool})


class Storages:
    """The blocks of numbers of one file.

    Args:
        block: gives the bytes of a storage by its key; NetworkError when there is none.
        budget: how many bytes all tensors together may claim; overlapping ones count each time.
        name: what to call the file in a sentence.
    """

    def __init__(self, block: Callable[[str], memoryview], budget: int, name: str) -> None:
        self._block, self._left, self._name = block, budget, name
        self._bytes: dict[str, Tensor] = {}
        self._made: dict[tuple, Tensor] = {}

    def tensor(self, claim: Claim, called: str) -> Tensor:
        """The claimed tensor, contiguous; half precision and bfloat16 as float32; the same claim is the same tensor.

        Raises NetworkError when it claims more numbers than its storage or the whole file holds.
        """
        key = (claim.storage.key, claim.dtype, claim.offset, claim.size, claim.stride)
        if key not in self._made:
            self._check(claim, called)
            self._made[key] = self._make(claim)
        return self._made[key]

    def _check(self, claim: Claim, called: str) -> None:
        width, count = claim.dtype.itemsize, prod(claim.size)
        there = len(self._block(claim.storage.key))
        claimed = claim.storage.count * (1 if claim.storage.dtype is None else claim.storage.dtype.itemsize)
        end = claim.offset + sum((n - 1) * step for n, step in zip(claim.size, claim.stride, strict=True)) + 1
        if claimed > there or (count and end * width > there) or count * width > there:
            raise NetworkError(f"{self._name} claims more numbers than it holds: {shown(called)} of shape "
                               f"{shown(claim.size)} does not fit into its {there:,} bytes.")
        self._left -= count * width
        if self._left < 0:
            raise NetworkError(f"{self._name} claims more numbers than it holds: its tensors overlap too often.")

    def _make(self, claim: Claim) -> Tensor:
        if prod(claim.size) == 0:
            return torch.zeros(claim.size, dtype=claim.dtype if claim.dtype.itemsize != 2 else torch.float32)
        key = claim.storage.key
        if key not in self._bytes:
            self._bytes[key] = torch.frombuffer(bytearray(self._block(key)), dtype=torch.uint8)
        whole = self._bytes[key][: self._bytes[key].numel() // claim.dtype.itemsize * claim.dtype.itemsize]
        if claim.dtype is torch.bool:
            return whole.ne(0).as_strided(claim.size, claim.stride, claim.offset).contiguous()
        return plain(whole.view(claim.dtype).as_strided(claim.size, claim.stride, claim.offset).contiguous())


def plain(tensor: Tensor) -> Tensor:
    """Half precision and bfloat16 as float32; others as they are."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
