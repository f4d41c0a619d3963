"""A TorchScript program followed step by step, until only a chain of tensor operations is left.

Branches are decided by what is known without running anything, methods are followed into, loops go round; tensor
operations go to an `operations.Recorder`, everything else is worked out by `scalars`.
"""

from __future__ import annotations

import ast
import math
from typing import Any, NamedTuple

from torch import Tensor, fx

from explorer.errors import NetworkError
from explorer.networks.loading.archive import shown
from explorer.networks.loading.operations import DoesNotFitError, Recorder
from explorer.networks.loading.pickled import Instance
from explorer.networks.loading.scalars import ALWAYS, SCALARS, holds_tensor
from explorer.networks.loading.scripted import Script, Weight

MOST_STEPS = 2_000_000
_DEEPEST = 150  # functions in each other


class Reference(NamedTuple):
    """A dotted name that is no value yet: `torch.conv2d`, `__torch__.torch.nn.functional.relu`, `ops.prim.data`."""

    path: str


class Bound(NamedTuple):
    """A method of an object of the file."""

    owner: Instance
    method: ast.FunctionDef


class _Return(Exception):  # noqa: N818 - control flow, not an error
    def __init__(self, value: Any) -> None:
        self.value = value


def record_script(script: Script, recorder: Recorder) -> Any:
    """Follow the root module's forward with the recorder's input; returns what it gives back.

    Raises:
        NetworkError: it asks for what is not allowed or understood.
        DoesNotFitError: it cannot take an input of this shape.
    """
    forward = script.method(script.root, "forward")
    if forward is None or len(forward.args.args) < 2:
        raise NetworkError(f"{script.name} is no TorchScript network: it has no forward that takes an image.")
    walker = Walker(script, recorder)
    try:
        return walker.enter(forward, [script.root, recorder.input], {})
    except RecursionError:
        raise NetworkError(f"{script.name} is a program that calls itself without end.") from None


class Walker:
    """Follows a program: numbers and texts are worked out, tensor operations recorded."""

    def __init__(self, script: Script, recorder: Recorder) -> None:
        self.script, self.recorder, self.name = script, recorder, script.name
        self.steps, self.depth = 0, 0

    def refuse(self, what: str) -> NetworkError:
        return NetworkError(f"{self.name} is a TorchScript program that PoolScope cannot follow: {what}; save the "
                            "state dict as safetensors instead.")

    def enter(self, function: ast.FunctionDef, args: list[Any], kwargs: dict[str, Any]) -> Any:
        names = [argument.arg for argument in function.args.args]
        defaults = function.args.defaults
        scope = {name: self.value(default, {}) for name, default in
                 zip(names[len(names) - len(defaults):], defaults, strict=True)}
        scope.update(zip(names, args, strict=False))
        scope.update(kwargs)
        self.depth += 1
        if self.depth > _DEEPEST or len(args) > len(names):
            raise self.refuse("its functions call each other too deeply or wrongly")
        try:
            self.block(function.body, scope)
        except _Return as result:
            return result.value
        finally:
            self.depth -= 1
        return None

    def block(self, statements: list[ast.stmt], scope: dict[str, Any]) -> None:
        for statement in statements:
            self.statement(statement, scope)

    def statement(self, node: ast.stmt, scope: dict[str, Any]) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise self.refuse(f"it takes more than {MOST_STEPS:,} steps")
        match node:
            case ast.Assign(targets=[target], value=value):
                self.assign(target, self.value(value, scope), scope)
            case ast.AnnAssign(target=ast.Name(), value=value) if value is not None:
                self.assign(node.target, self.value(value, scope), scope)
            case ast.Expr(value=value):
                self.value(value, scope)
            case ast.Return(value=value):
                raise _Return(None if value is None else self.value(value, scope))
            case ast.If(test=test):
                self.block(node.body if self.known(self.value(test, scope)) else node.orelse, scope)
            case ast.For(target=target, orelse=[]):
                for item in self.listed(self.value(node.iter, scope)):
                    self.assign(target, item, scope)
                    self.block(node.body, scope)
            case ast.While(test=test, orelse=[]):
                while self.known(self.value(test, scope)):
                    self.steps += 1
                    self.block(node.body, scope)
                    if self.steps > MOST_STEPS:
                        raise self.refuse(f"it takes more than {MOST_STEPS:,} steps")
            case ast.Pass():
                pass
            case _:
                raise self.refuse(f"its text has a statement of kind {type(node).__name__}")

    def assign(self, target: ast.expr, value: Any, scope: dict[str, Any]) -> None:
        if isinstance(target, ast.Name):
            scope[target.id] = value
        elif isinstance(target, ast.Tuple) and isinstance(value, list | tuple) and len(value) == len(target.elts):
            for part, item in zip(target.elts, value, strict=True):
                self.assign(part, item, scope)
        else:
            raise self.refuse("it changes an attribute of a module or takes a value apart wrongly")

    def value(self, node: ast.expr, scope: dict[str, Any]) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self.named(name, scope)
            case ast.Attribute(attr=name):
                return self.attribute(self.value(node.value, scope), name)
            case ast.Call():
                return self.call(node, scope)
            case ast.Tuple(elts=items):
                return tuple(self.value(item, scope) for item in items)
            case ast.List(elts=items):
                return [self.value(item, scope) for item in items]
            case ast.Dict(keys=keys, values=values) if all(isinstance(key, ast.Constant) for key in keys):
                return {key.value: self.value(item, scope) for key, item in zip(keys, values, strict=True)}
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self.scalar("neg", [self.value(operand, scope)])
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not self.known(self.value(operand, scope))
            case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot() as how], comparators=[right]):
                same = self.value(left, scope) is self.value(right, scope)
                return same == isinstance(how, ast.Is)
            case ast.BoolOp(op=how, values=[*parts]):
                wanted = isinstance(how, ast.Or)
                return next((wanted for part in parts if self.known(self.value(part, scope)) is wanted), not wanted)
            case ast.IfExp(test=test):
                return self.value(node.body if self.known(self.value(test, scope)) else node.orelse, scope)
            case ast.Subscript(value=whole, slice=place):
                return self.item(self.value(whole, scope), self.value(place, scope))
        raise self.refuse(f"its text has an expression of kind {type(node).__name__}")

    def named(self, name: str, scope: dict[str, Any]) -> Any:
        if name in scope:
            return scope[name]
        known = {"inf": math.inf, "nan": math.nan, "infj": math.inf}
        return known.get(name, Reference(name))

    def attribute(self, owner: Any, name: str) -> Any:
        if isinstance(owner, Reference):
            if owner.path == "CONSTANTS":
                return self.item(self.script.constants, self.number_of(name))
            return Reference(f"{owner.path}.{name}")
        if isinstance(owner, Instance):
            if name in owner.attributes:
                return owner.attributes[name]
            method = self.script.method(owner, name)
            if method is not None:
                return Bound(owner, method)
        raise self.refuse(f"it asks for an attribute {shown(name)} that is not there")

    def number_of(self, name: str) -> int:
        digits = name.removeprefix("c")
        return int(digits) if digits.isdecimal() and len(digits) < 8 else -1

    def item(self, whole: Any, place: Any) -> Any:
        place = self.known(place)
        try:
            if isinstance(whole, list | tuple | dict):
                return whole[place]
        except (LookupError, TypeError):
            pass
        raise self.refuse("it asks for an item that is not there")

    def listed(self, value: Any) -> list[Any]:
        if isinstance(value, list | tuple | range):
            return value
        raise self.refuse("it goes through something that is no list")

    def known(self, value: Any) -> Any:
        """The number or truth behind a value; one that depends on the input's size is taken for the size tried."""
        if isinstance(value, fx.Node) and not isinstance(value.meta["value"], Tensor):
            self.recorder.size_was_asked = True
            return value.meta["value"]
        if isinstance(value, Weight) and value.tensor.numel() == 1:
            return value.tensor.item()
        if isinstance(value, fx.Node | Weight | Instance | Reference | Bound):
            raise self.refuse("a branch depends on the numbers of a tensor or on an object")
        return value

    def deeply_known(self, value: Any) -> Any:
        """The same, with each item of a list."""
        return [self.known(item) for item in value] if isinstance(value, list) else self.known(value)

    def call(self, node: ast.Call, scope: dict[str, Any]) -> Any:
        if isinstance(node.func, ast.Name) and node.func.id in ("annotate", "unchecked_cast") and len(node.args) == 2:
            return self.value(node.args[1], scope)
        if isinstance(node.func, ast.Name) and node.func.id == "uninitialized":
            return None
        function = self.value(node.func, scope)
        args = [self.value(argument, scope) for argument in node.args]
        kwargs = {keyword.arg: self.value(keyword.value, scope) for keyword in node.keywords if keyword.arg}
        if isinstance(function, Bound):
            return self.enter(function.method, [function.owner, *args], kwargs)
        if not isinstance(function, Reference):
            raise self.refuse("it calls something that is no function")
        if function.path.startswith("__torch__."):
            definition = self.script.definition(function.path)
            if not isinstance(definition, ast.FunctionDef):
                raise self.refuse(f"it makes an object of the class {shown(function.path)}")
            return self.enter(definition, args, kwargs)
        return self.builtin(function.path, args, kwargs)

    def builtin(self, path: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """A function of TorchScript's own: on tensors it is recorded, on anything else worked out."""
        space, _, operation = path.rpartition(".")
        if path == "getattr" and len(args) == 2 and isinstance(args[1], str):
            return self.attribute(args[0], args[1])
        if space == "ops.prim" and operation == "RaiseException":
            raise DoesNotFitError(f"it stops itself: {shown(args[0])}" if args else "it stops itself")
        if space not in ("", "torch", "ops.prim", "ops.aten"):
            raise self.refuse(f"it asks for the operation {shown(path)}")
        handler = SCALARS.get(operation)
        if handler is not None and (operation in ALWAYS or not any(map(holds_tensor, args))):
            return handler(self, args, kwargs)
        return self.recorder.call(operation, [self.plain(a) for a in args],
                                  {key: self.plain(item) for key, item in kwargs.items()})

    def plain(self, value: Any) -> Any:
        """The same with a recorder's node for each tensor of the file."""
        if isinstance(value, Weight):
            return self.recorder.tensor(value.tensor, value.label)
        return type(value)(self.plain(item) for item in value) if type(value) in (list, tuple) else value

    def scalar(self, operation: str, args: list[Any]) -> Any:
        numbers = [a if isinstance(a, fx.Node) else self.known(a) for a in args]
        try:
            return self.recorder.number(operation, numbers)
        except (TypeError, ArithmeticError, ValueError):
            raise self.refuse(f"it works out {operation} of something that is no number") from None
