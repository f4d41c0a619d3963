"""A model's own copy, of which each module can be looked at while it runs."""

from __future__ import annotations

import copy
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn

from explorer.errors import MethodError, NetworkError


class Call(NamedTuple):
    """One module's call during a pass: its path (of a second call "path@2"), itself, its arguments and output.

    `kept` is a tensor's copy from before what follows worked on it in place, where that was asked for.
    """

    key: str
    module: nn.Module
    arguments: tuple[Any, ...]
    output: Any
    kept: Any = None


def own_copy(model: nn.Module) -> nn.Module:
    """The model again, in evaluation mode, on the CPU and in float32: its modules copied, its weights shared.

    So nothing that is done to it (evaluation mode, taps) is done to a model that somebody else holds.

    Raises NetworkError when the model cannot be copied.
    """
    if not isinstance(model, nn.Module):
        raise NetworkError(f"The model is {model!r:.80}; expected a torch.nn.Module.")
    if bound := _function_of_its_own(model):
        raise NetworkError(f"The model {type(model).__name__} keeps a function of itself ({bound}), whose copy would "
                           "run the original; expected a method instead.")
    try:
        known = {id(each): nn.Parameter(each.detach(), requires_grad=False) for each in model.parameters()}
        copied = copy.deepcopy(model, known)  # buffers are copied: a model may count its calls in one
        for module in copied.modules():
            _drop_tap_of_another(module)
        copied.cpu().float().eval()
    except Exception as error:
        raise NetworkError(f"The model {type(model).__name__} cannot be copied ({first_line(error)}); expected a "
                           "torch.nn.Module that copy.deepcopy accepts.") from None
    return copied


def _function_of_its_own(model: nn.Module) -> str:
    """The name of a function that a module keeps and that has captured a module of the model; "" for none."""
    modules = {id(module) for module in model.modules()}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            cells = getattr(value, "__closure__", None) or ()
            if any(id(cell.cell_contents) in modules for cell in cells):
                return f"{path}.{name}" if path else name
    return ""


class _Tap:
    """A module's `forward` that asks what to do with its output, when the thread that runs it wants to be asked."""

    def __init__(
        self, key: str, module: nn.Module, forward: Callable[..., Any], at_work: threading.local
    ) -> None:
        self._key = key
        self._module = module
        self._forward = forward
        self._at_work = at_work

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        ask = getattr(self._at_work, "ask", None)
        output = self._forward(*arguments, **named)
        if ask is None:
            return output
        self._at_work.calls[self._key] += 1
        count = self._at_work.calls[self._key]
        return ask(self._key if count == 1 else f"{self._key}@{count}", self._module, arguments, output)

    def is_of(self, module: nn.Module) -> bool:
        """Whether it was put on this very module."""
        return self._module is module

    def __deepcopy__(self, known: dict[int, Any]) -> _Tap:
        return self


def _drop_tap_of_another(module: nn.Module) -> None:
    """A copied module would run through the tap of the one that it was copied from."""
    tap = vars(module).get("forward")
    if isinstance(tap, _Tap) and not tap.is_of(module):
        del module.forward


class Taps:
    """A model of which each module can be looked at, or its output exchanged, by the thread that runs it.

    Args:
        model: of its own (see `own_copy`); its modules' `forward` is replaced.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._at_work = threading.local()
        for key, module in model.named_modules():
            _drop_tap_of_another(module)
            if key:
                module.forward = _Tap(key, module, module.forward, self._at_work)

    def __deepcopy__(self, known: dict[int, Any]) -> Taps:
        return Taps(copy.deepcopy(self.model, known))

    def watch(self, x: Tensor, keep: bool = False) -> tuple[list[Call], Any]:
        """All calls of its modules in the order in which they ended, and the model's answer."""
        calls: list[Call] = []

        def note(key: str, module: nn.Module, arguments: tuple, output: Any) -> Any:
            kept = output.clone() if keep and isinstance(output, Tensor) else output
            calls.append(Call(key, module, arguments, output, kept))
            return output

        with self._asking(note):
            return calls, self.model(x)

    def run(self, x: Tensor, key: str, change: Callable[[nn.Module, tuple, Any], Any]) -> Tensor:
        """The model's answer with the output of the module `key` exchanged for what `change` makes of it."""
        with self._asking(lambda at, module, arguments, output: change(module, arguments, output) if at == key
                          else output):
            return self.model(x)

    def until(self, x: Tensor, key: str) -> Call:
        """The first call of the module `key`; what comes after it is not run."""
        def stop(at: str, module: nn.Module, arguments: tuple, output: Any) -> Any:
            if at == key:
                raise _Reached(Call(key, module, arguments, output))
            return output

        try:
            with self._asking(stop):
                self.model(x)
        except _Reached as reached:
            return reached.call
        raise MethodError(f"The layer {key} was not reached with an input of {x.shape[-1]} x {x.shape[-2]} px.")

    @contextmanager
    def _asking(self, ask: Callable[..., Any]) -> Iterator[None]:
        self._at_work.ask, self._at_work.calls = ask, Counter()
        try:
            yield
        finally:
            self._at_work.ask = None


class _Reached(BaseException):  # not an Exception: a model may catch those
    def __init__(self, call: Call) -> None:
        super().__init__()
        self.call = call


def tensor_of(answer: Any) -> Tensor:
    """The logits in whatever a model gives: a tensor, or a tuple, dict or object that holds it.

    Raises NetworkError when there is no such tensor.
    """
    found = answer
    if isinstance(found, dict):
        found = found.get("logits", next(iter(found.values()), None))
    elif isinstance(found, (tuple, list)):
        found = getattr(found, "logits", found[0] if found else None)
    elif not isinstance(found, Tensor):
        found = getattr(found, "logits", None)
    if not isinstance(found, Tensor) or not found.is_floating_point():
        raise NetworkError(f"The model gives {type(answer).__name__}; expected a tensor of logits (B, classes).")
    return found


def logits_of(answer: Any, batch: int) -> Tensor:
    """(B, classes) of whatever a model gives for a batch of that many; a single logit may lack its dimension.

    Raises NetworkError when there are no such logits.
    """
    found = tensor_of(answer)
    if found.ndim < 2 and found.numel() and found.numel() % batch == 0 and (found.numel() == batch or batch == 1):
        found = found.reshape(batch, -1)  # squeezed
    if found.ndim != 2 or len(found) != batch:
        raise NetworkError(f"The model gives a tensor of shape {tuple(found.shape)} for {batch} photo"
                           f"{'' if batch == 1 else 's'}; expected logits (B, classes): it is not an image classifier.")
    return found


def first_line(error: BaseException) -> str:
    """What an error of somebody else's says first, to stand in a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160].rstrip(".")
