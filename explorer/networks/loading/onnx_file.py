"""A person's ONNX file, read without trusting it: its sizes, operators and formats are checked before it is used.

A graph is data, but a small one may claim much: 2 bytes are an operator, 20 bytes a tensor of any size. So the file is
walked before it is parsed, and what its operators make is computed in shapes alone (`onnx_module`) before any is run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import onnx

from explorer.errors import NetworkError
from explorer.networks.cutting.taps import first_line
from explorer.networks.loading.files import one_line, read_bytes
from explorer.wording import listed

MOST_OPERATORS = 20_000
MOST_OUTSIDE = 1 << 30  # bytes of weights in a file beside it
MOST_DESCRIPTION = 64 << 20  # bytes beside the weights: parsed, each may take a hundred
OPSETS = range(7, 27)  # those that ONNX Runtime has run for years, up to the newest that it knows
STANDARD = ("", "ai.onnx")
ONE_FILE = "onnx.save(onnx.load(path), 'one.onnx')"
_CONTROL = ("If", "Loop", "Scan", "SequenceMap")
# Numbers of fields in onnx.proto, and of protocol buffers' wire types.
_GRAPH, _NODE, _INITIALIZER, _FLOATS, _RAW = 7, 1, 5, 4, 9
_VARINT, _LONG, _BYTES, _SHORT = 0, 1, 2, 5
# What follows ir_version in a file: producer's name and version, domain, version, text, graph, opset, metadata.
_SECOND_FIELDS = frozenset(b"\x12\x1a\x22\x28\x32\x3a\x42\x72")


def is_onnx(content: bytes) -> bool:
    """Whether these bytes begin like an ONNX model: the version of its format, then one of the fields after that."""
    return len(content) > 3 and content[0] == 8 and 0 < content[1] < 32 and content[2] in _SECOND_FIELDS


def read_onnx(content: bytes, name: str, folder: Path | None = None) -> onnx.ModelProto:
    """The model in these bytes, checked.

    Args:
        content: the whole file.
        name: of the file, for sentences.
        folder: where the file lies, and beside it one with its weights, as torch writes large or all of them; None
            where there is the file alone.

    Raises NetworkError when it is damaged, has weights that are not there, control flow, custom operators, an opset
    that is not known, or more operators than a network has.
    """
    try:
        description, operators = _measured(content)
    except (ValueError, IndexError):
        raise NetworkError(f"{name} is damaged or cut short: it begins like an ONNX model but is none.") from None
    if operators > MOST_OPERATORS or description > MOST_DESCRIPTION:
        raise NetworkError(f"{name} has {operators:,} operators in {description:,} bytes beside its weights; at most "
                           f"{MOST_OPERATORS:,} in {MOST_DESCRIPTION:,} bytes are accepted.")
    try:
        model = onnx.ModelProto.FromString(content)
    except Exception:  # protocol buffers' DecodeError ships no types
        raise NetworkError(f"{name} is damaged or cut short: it begins like an ONNX model but is none.") from None
    _check_operators(model, name)
    _take_in(model, name, folder)
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # its errors have no base class that says more
        raise NetworkError(f"{name} is not a valid ONNX model: {one_line(first_line(error))}. Export it again, with "
                           'torch.onnx.export(model, example, "model.onnx", dynamo=True) from torch.') from None
    return model


def _take_in(model: onnx.ModelProto, name: str, folder: Path | None) -> None:
    """Weights from a file beside it, which must be a plain file of the same folder; NetworkError without."""
    inside = [*(tensor for sparse in model.graph.sparse_initializer for tensor in (sparse.values, sparse.indices)),
              *(tensor for node in model.graph.node for attribute in node.attribute
                for tensor in (attribute.t, *attribute.tensors))]
    outside = [weight for weight in model.graph.initializer if _is_outside(weight)]
    if any(map(_is_outside, inside)) or (outside and folder is None):
        raise NetworkError(f"{name} has its weights in another file beside it; save it as one file: {ONE_FILE}.")
    files: dict[str, bytes] = {}
    taken = 0
    for weight in outside:
        described = {entry.key: entry.value for entry in weight.external_data}
        place = described.get("location", "")
        if folder is None or place in ("", ".", "..") or set(place) & set("/\\:\0") or (folder / place).is_symlink():
            raise NetworkError(f"{name} has weights in {one_line(place) or 'a file without a name'}; expected a plain "
                               f"file in its own folder. Save it as one file: {ONE_FILE}.")
        if place not in files:
            files[place], _ = read_bytes(folder / place, place, MOST_OUTSIDE)
        try:
            begin = int(described.get("offset", 0))
            length = int(described.get("length", len(files[place]) - begin))
        except ValueError:
            begin = length = -1
        if begin < 0 or length < 0 or begin + length > len(files[place]):
            raise NetworkError(f"{one_line(place)} is cut short: it has not all weights of {name}.")
        taken += length
        if taken > MOST_OUTSIDE:  # one place may be claimed many times
            raise NetworkError(f"{name} claims more than {MOST_OUTSIDE:,} bytes of weights.")
        weight.raw_data = files[place][begin : begin + length]
        weight.data_location = onnx.TensorProto.DEFAULT
        del weight.external_data[:]


def _is_outside(tensor: onnx.TensorProto) -> bool:
    return tensor.data_location == onnx.TensorProto.EXTERNAL or len(tensor.external_data) > 0


def _check_operators(model: onnx.ModelProto, name: str) -> None:
    opset = next((entry.version for entry in model.opset_import if entry.domain in STANDARD), 0)
    if opset not in OPSETS:
        raise NetworkError(f"{name} is written in ONNX's opset {opset}; expected {OPSETS[0]} to {OPSETS[-1]}: export "
                           "it with opset 18.")
    custom = Counter(f"{node.op_type} of {node.domain}" for node in model.graph.node if node.domain not in STANDARD)
    if custom or model.functions:
        names = listed([one_line(text) for text, _ in custom.most_common(3)]) or "functions of its own"
        raise NetworkError(f"{name} uses {names}, which is not of ONNX itself; expected standard operators alone: "
                           "export it without custom operators or optimisations for one runtime.")
    control = {node.op_type for node in model.graph.node if node.op_type in _CONTROL or any(
        attribute.HasField("g") or attribute.graphs for attribute in node.attribute)}
    if control:
        raise NetworkError(f"{name} decides while it runs ({listed(sorted(map(one_line, control)))}); expected a "
                           "graph without control flow: export it from torch with dynamo=True, or for one input size.")


def _measured(content: bytes) -> tuple[int, int]:
    """How many bytes of a model are not numbers of its weights, and how many operators it has.

    Raises ValueError or IndexError where these are no fields of a protocol buffer.
    """
    numbers = operators = 0
    for field, graph in _fields(memoryview(content)):
        if field != _GRAPH:
            continue
        for inner, part in _fields(graph):
            operators += inner == _NODE
            if inner == _INITIALIZER:
                numbers += sum(len(value) for number, value in _fields(part) if number in (_FLOATS, _RAW))
            if operators > MOST_OPERATORS:
                return len(content) - numbers, operators
    return len(content) - numbers, operators


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The fields of a protocol buffer: number and content, empty for those that are plain numbers."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        kind, length = tag & 7, 0
        if kind == _VARINT:
            _, at = _varint(message, at)
        elif kind in (_LONG, _SHORT):
            at += 8 if kind == _LONG else 4
        elif kind == _BYTES:
            length, at = _varint(message, at)
        else:
            raise ValueError(f"wire type {kind}")
        if at + length > end:
            raise ValueError("cut short")
        yield tag >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for n in range(10):
        byte = message[at + n]
        value |= (byte & 127) << (7 * n)
        if byte < 128:
            return value, at + n + 1
    raise ValueError("a number of more than ten bytes")
