"""A model's own copy, of which each module can be looked at while it runs."""

from __future__ import annotations

import copy
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from explorer.errors import MethodError, NetworkError


class Call(NamedTuple):
    """One module's call during a pass: its path (of a second call "path@2"), itself, its arguments and output.

    `kept` is a copy of the output from before later modules worked on it in place, where `watch` was to keep one.
    """

    key: str
    module: nn.Module
    arguments: tuple[Any, ...]
    output: Any
    kept: Any = None


def own_copy(model: nn.Module) -> nn.Module:
    """The model again, in evaluation mode, on the CPU and in float32: its modules copied, its weights shared.

    Evaluation mode and taps then change nothing of the model that somebody else holds.

    Raises NetworkError when the model cannot be copied.
    """
    if not isinstance(model, nn.Module):
        raise NetworkError(f"The model is {model!r:.80}; expected a torch.nn.Module.")
    if bound := _captured_function(model):
        raise NetworkError(f"The model {type(model).__name__} keeps a function of itself ({bound}), whose copy would "
                           "run the original; expected a method instead.")
    try:
        known: dict[int, Any] = {id(value): value.detach().clone() for value in _computed(model)}
        known |= {id(weight): nn.Parameter(weight.detach(), requires_grad=False) for weight in model.parameters()}
        copied = copy.deepcopy(model, known)  # buffers are copied: a model may count its calls in one
        copied.eval()  # first: in training mode a spectral norm changes with each look
        for module in copied.modules():
            _drop_tap_of_another(module)
            _write_weights_out(module)
        copied.cpu().float()
    except Exception as error:
        raise NetworkError(f"The model {type(model).__name__} cannot be copied ({first_line(error)}); expected a "
                           "torch.nn.Module that copy.deepcopy accepts.") from None
    return copied


def _computed(model: nn.Module) -> list[Tensor]:
    """Tensors that modules keep and have computed, such as a weight from its norm and direction: copy refuses them."""
    return [value for module in model.modules() for value in vars(module).values()
            if isinstance(value, Tensor) and not value.is_leaf]


def _write_weights_out(module: nn.Module) -> None:
    """Weights that are computed anew at each call (weight norm, spectral norm, pruning) as plain weights."""
    if parametrize.is_parametrized(module):
        values = {name: getattr(module, name).detach() for name in module.parametrizations}  # type: ignore[union-attr]
        del module.parametrizations
        # Not by torch's own function, which takes them from the class, and that is the original's too.
        module.__class__ = type(module).__bases__[0]
        for name, value in values.items():
            module.register_parameter(name, nn.Parameter(value, requires_grad=False))
    for key, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook, (SpectralNorm, WeightNorm, BasePruningMethod)):
            hook.remove(module)
            del module._forward_pre_hooks[key]
            module.requires_grad_(False)


def _captured_function(model: nn.Module) -> str:
    """The name of a function that a module keeps and that has captured a module of the model; "" for none."""
    modules = {id(module) for module in model.modules()}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            cells = getattr(value, "__closure__", None) or ()
            if any(id(cell.cell_contents) in modules for cell in cells):
                return f"{path}.{name}" if path else name
    return ""


@dataclass(frozen=True, eq=False)
class _Tap:
    """A module's `forward` that hands its output to a function, in threads that have set one."""

    key: str
    module: nn.Module
    forward: Callable[..., Any]
    thread: threading.local

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        exchange = getattr(self.thread, "exchange", None)
        output = self.forward(*arguments, **named)
        if exchange is None:
            return output
        self.thread.calls[self.key] += 1
        count = self.thread.calls[self.key]
        return exchange(self.key if count == 1 else f"{self.key}@{count}", self.module, arguments, output)

    def __deepcopy__(self, known: dict[int, Any]) -> _Tap:
        return self


def _drop_tap_of_another(module: nn.Module) -> None:
    """A copied module would run through the tap of the one that it was copied from."""
    tap = vars(module).get("forward")
    if isinstance(tap, _Tap) and tap.module is not module:
        del module.forward


class Taps:
    """A model whose modules can be watched, or their outputs exchanged, by the thread that runs it.

    Args:
        model: an `own_copy`; its modules' `forward` is replaced.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._thread = threading.local()
        for key, module in model.named_modules():
            _drop_tap_of_another(module)
            if key:
                module.forward = _Tap(key, module, module.forward, self._thread)

    def __deepcopy__(self, known: dict[int, Any]) -> Taps:
        return Taps(copy.deepcopy(self.model, known))

    def watch(self, x: Tensor, keep: bool = False) -> tuple[list[Call], Any]:
        """All calls of its modules in the order in which they ended, and the model's output."""
        calls: list[Call] = []

        def note(key: str, module: nn.Module, arguments: tuple, output: Any) -> Any:
            kept = output.clone() if keep and isinstance(output, Tensor) else output
            calls.append(Call(key, module, arguments, output, kept))
            return output

        with self._exchanging(note):
            return calls, self.model(x)

    def run(self, x: Tensor, key: str, change: Callable[[nn.Module, tuple, Any], Any]) -> Tensor:
        """The model's output, with the output of the module `key` exchanged for the result of `change`."""
        with self._exchanging(lambda at, module, arguments, output: change(module, arguments, output) if at == key
                          else output):
            return self.model(x)

    def until(self, x: Tensor, key: str) -> Call:
        """The first call of the module `key`; later modules are not run."""
        def stop(at: str, module: nn.Module, arguments: tuple, output: Any) -> Any:
            if at == key:
                raise _Reached(Call(key, module, arguments, output))
            return output

        try:
            with self._exchanging(stop):
                self.model(x)
        except _Reached as reached:
            return reached.call
        raise MethodError(f"The layer {key} was not reached with an input of {x.shape[-1]} x {x.shape[-2]} px.")

    @contextmanager
    def _exchanging(self, exchange: Callable[..., Any]) -> Iterator[None]:
        self._thread.exchange, self._thread.calls = exchange, Counter()
        try:
            yield
        finally:
            self._thread.exchange = None


class UpTo(nn.Module):
    """A model up to one of its modules."""

    def __init__(self, taps: Taps, key: str) -> None:
        super().__init__()
        self.model = taps.model  # so that its weights are counted
        self.taps = taps
        self.key = key

    def forward(self, x: Tensor) -> Tensor:
        # Cloned: what comes after a module may work in place, as DenseNet's last ReLU does.
        return self.taps.until(x, self.key).output.clone()


class _Reached(BaseException):  # not an Exception: a model may catch those
    def __init__(self, call: Call) -> None:
        super().__init__()
        self.call = call


class OneOutput(nn.Module):
    """A model's output of that name or number, where it gives several."""

    def __init__(self, model: nn.Module, key: str | int) -> None:
        super().__init__()
        self.model, self.key = model, key

    def forward(self, x: Tensor) -> Any:
        outputs = self.model(x)
        if self.key not in (names := output_names(outputs)):
            raise NetworkError(f"The model has no output {self.key!r:.60}; expected "
                               f"{' or '.join(map(repr, names)) or 'none: it gives a single tensor'}.")
        return outputs[self.key]


def output_names(outputs: Any) -> list[str | int]:
    """The keys or numbers by which a model's outputs are known; none of a single tensor."""
    if isinstance(outputs, dict):
        return list(outputs)
    return list(range(len(outputs))) if isinstance(outputs, tuple | list) else []


def tensor_of(output: Any) -> Tensor:
    """The logits in a model's output: a tensor, or a tuple, dict or object that holds it.

    Raises NetworkError when there is no such tensor.
    """
    logits = output
    if isinstance(output, dict):
        logits = output.get("logits", next(iter(output.values()), None))
    elif isinstance(output, (tuple, list)):
        logits = getattr(output, "logits", output[0] if output else None)
    elif not isinstance(output, Tensor):
        logits = getattr(output, "logits", None)
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        raise NetworkError(f"The model gives {type(output).__name__}; expected a tensor of logits (B, classes).")
    return logits


def logits_of(output: Any, batch: int) -> Tensor:
    """(B, classes) of a model's output for a batch of that many; a single logit may lack its dimension.

    Raises NetworkError when there are no such logits.
    """
    logits = tensor_of(output)
    numbers = logits.numel()
    if logits.ndim < 2 and numbers and numbers % batch == 0 and (numbers == batch or batch == 1):
        logits = logits.reshape(batch, -1)  # squeezed
    if logits.ndim != 2 or len(logits) != batch:
        raise NetworkError(f"The model gives a tensor of shape {tuple(logits.shape)} for {batch} photo"
                           f"{'' if batch == 1 else 's'}; expected logits (B, classes): it is not an image classifier.")
    return logits


def first_line(error: BaseException) -> str:
    """The first line of an error that another library raised, for use inside a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160].rstrip(".")
