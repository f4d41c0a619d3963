"""Mutated files of every kind that people bring: a network or one sentence, never a crash, a swollen process or a wait.

    python -m benchmarks.fuzz [--count 2000] [--first 0]

Seconds are the processor's: other work on the machine does not count.

A few small valid files (safetensors, torch.save's zip and older pickle, ONNX, class names) are changed, each case by
its number alone: bits, blocks and lengths of any file, and the parts that a format has (entries of a list of tensors,
instructions of a pickle, nodes and weights of a graph). A case is looked into, loaded, and where that gives a network,
asked about a photo. Cases run in a child process; one that ends it, or takes a minute, is a crash.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import io
import json
import math
import pickletools
import random
import subprocess
import sys
import time
import warnings
import zipfile
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx
import timm
import torch
from PIL import Image
from safetensors.torch import save
from torch import nn

from explorer import analyse
from explorer.errors import ExplorerError, NetworkError
from explorer.networks.loading.class_names import read_class_names
from explorer.networks.loading.load import load_file, look_into

MOST_SECONDS, MOST_GROWTH = 10.0, 200  # of one case; MB above what was resident before it
_LONGEST = 1500  # letters of a sentence
_NUMBERS = (0, 1, -1, 2, 3, 255, 65535, 2**31 - 1, -(2**31), 2**32, 2**40, 2**63 - 1)
_TEXTS = ("", "a", "Conv", "float16", "../../x", "\0", "é" * 300, "fc.weight", "state_dict", "1e999", "F64")
_OPERATORS = {"Resize", "Pad", "Tile", "Expand", "Range", "Gather", "Slice", "ConstantOfShape", "Reshape", "If", "TopK"}
Mutation = Callable[[bytes, random.Random], bytes]


def seeds() -> dict[str, bytes]:
    """The valid files by their names, whose endings say what they are."""
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    classes = ["daisy", "dandelion", "rose", "sunflower", "tulip"]
    state = {key: tensor.half() if tensor.is_floating_point() else tensor
             for key, tensor in timm.create_model("test_resnet", num_classes=5).state_dict().items()}
    lightning = {"epoch": 3, "state_dict": {f"model.{key}": tensor for key, tensor in state.items()},
                 "hyper_parameters": Namespace(arch="test_resnet", lr=0.1), "class_names": classes}
    zipped, older = io.BytesIO(), io.BytesIO()
    torch.save(lightning, zipped)
    torch.save({"model": {f"module.{key}": tensor for key, tensor in state.items()}, "best": 0.5}, older,
               _use_new_zipfile_serialization=False)
    small = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.SiLU(),
                          nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5))
    names = {str(n): [f"n{n:08}", name] for n, name in enumerate(classes)}
    return {
        "weights.safetensors": save(state), "lightning.ckpt": zipped.getvalue(), "older.pth": older.getvalue(),
        "small.onnx": _exported(small, 64),
        "token.onnx": _exported(timm.create_model("test_vit", num_classes=5, img_size=64, depth=2), 64),
        "names.txt": "\n".join(f"{n} {name}" for n, name in enumerate(classes)).encode(),
        "names.json": json.dumps(names).encode(),
        "config.json": json.dumps({"id2label": dict(enumerate(classes)), "architectures": ["ResNet"]}).encode(),
    }


def _exported(model: nn.Module, side: int) -> bytes:
    program = torch.onnx.export(model.eval(), (torch.rand(1, 3, side, side),), dynamo=True, verbose=False)
    assert program is not None
    return bytes(program.model_proto.SerializeToString())


def case(files: Mapping[str, bytes], number: int) -> tuple[str, bytes]:
    """The name and bytes of a mutated file; the same ones for a number and files."""
    chance = random.Random(number)
    name = list(files)[number % len(files)]
    data = files[name]
    own = _MUTATIONS[Path(name).suffix]
    for _ in range(chance.choice((1, 1, 1, 1, 2, 4))):
        mutation = own if chance.random() < 0.6 else _bytes_changed
        try:
            data = mutation(data, chance)
        except Exception:  # an earlier mutation left nothing that this one could read
            data = _bytes_changed(data, chance)
    return name, data


def outcome(name: str, data: bytes) -> str:
    """"network", "names" or the sentence of a refusal. Raises AssertionError where that is no sentence."""
    try:
        if name.endswith((".txt", ".json")):
            read_class_names(data, name)
            return "names"
        contents = look_into(data, name)  # as the page does, whose form then asks for the architecture
        if contents.architecture is None and not contents.outputs:
            raise NetworkError(contents.sentences[0])
        network = load_file(contents.checkpoint or data, name)
        answer = analyse(network, Image.new("RGB", (64, 48), (200, 90, 30))).under()
        if answer.logits.isfinite().all():
            answer.class_map(0)
        return "network"
    except ExplorerError as error:
        text = str(error)
        if not (text.endswith((".", ")", "?")) and text.isprintable() and len(text) < _LONGEST):
            raise AssertionError(f"no sentence: {text!r}") from error
        return text


# Any file.


def _bytes_changed(data: bytes, chance: random.Random) -> bytes:
    """Bits, a block or the end changed; half of the time near the beginning or the end, where descriptions stand."""
    size = max(1, len(data))
    near = min(size, 6000)
    at = chance.choice((chance.randrange(size), chance.randrange(size), chance.randrange(near),
                        size - 1 - chance.randrange(near)))
    length = min(chance.choice((1, 1, 2, 4, 8, 64, 1000)), size - at)
    block, rest = data[at : at + length], data[at + length :]
    return chance.choice((
        lambda: data[:at] + bytes(byte ^ 1 << chance.randrange(8) for byte in block) + rest,
        lambda: data[:at] + chance.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * length + rest,
        lambda: data[:at] + chance.randbytes(length) + rest,
        lambda: data[:at] + chance.randbytes(length) + rest,
        lambda: data[:at] + rest,
        lambda: data[:at] + block * chance.choice((2, 3, 50)) + rest,
        lambda: data[:at],
        lambda: data[:at] + bytes(byte ^ 1 for byte in block) + rest,
        lambda: rest[:length] + data[:at] + block + rest[length:],
    ))()


# What a format has.


def _other(value: Any, chance: random.Random) -> Any:
    """Another value, mostly of the same kind."""
    if chance.random() < 0.1:
        return chance.choice((None, True, [], {}, "x", -1, 1e308))
    if isinstance(value, str):
        return chance.choice((*_TEXTS, value + "x", value[1:], value * 2))
    if isinstance(value, int | float):
        return chance.choice((*_NUMBERS, value + 1, value - 1, value * 2))
    return value


def _tree_changed(tree: Any, chance: random.Random) -> Any:
    """A JSON tree with a value, a key or an entry changed."""
    if isinstance(tree, dict) and tree:
        key = chance.choice(list(tree))
        return chance.choice((
            lambda: {**tree, key: _tree_changed(tree[key], chance)},
            lambda: {**tree, key: _tree_changed(tree[key], chance)},
            lambda: {name: value for name, value in tree.items() if name != key},
            lambda: {(str(_other(key, chance)) if name == key else name): value for name, value in tree.items()},
            lambda: {**tree, f"{key}x": tree[key]},
            lambda: {**tree, key: tree[chance.choice(list(tree))]},
        ))()
    if isinstance(tree, list) and tree:
        at = chance.randrange(len(tree))
        return chance.choice((
            lambda: [*tree[:at], _tree_changed(tree[at], chance), *tree[at + 1 :]],
            lambda: [*tree[:at], *tree[at + 1 :]], lambda: tree[::-1], lambda: tree * 30, lambda: [tree],
        ))()
    return _other(tree, chance)


def _json_changed(data: bytes, chance: random.Random) -> bytes:
    return json.dumps(_tree_changed(json.loads(data), chance)).encode()


def _lines_changed(data: bytes, chance: random.Random) -> bytes:
    return "\n".join(map(str, _tree_changed(data.decode().split("\n"), chance))).encode()


def _list_changed(data: bytes, chance: random.Random) -> bytes:
    """safetensors: its list of tensors, with the right length before it."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = _json_changed(data[8:end], chance)
    return len(header).to_bytes(8, "little") + header + data[end:]


def _pickle_changed(data: bytes, chance: random.Random) -> bytes:
    """An instruction of the first pickles: left out, repeated, moved, or with other bytes of its argument."""
    stream, places, end = io.BytesIO(data), [], 0
    while data[end : end + 1] == b"\x80" and len(places) < 5000:
        places += [place for _, _, place in pickletools.genops(stream) if place is not None]
        end = stream.tell()
    n = chance.randrange(len(places) - 1)
    begin, after = places[n], places[n + 1]
    elsewhere = chance.choice(places)
    return chance.choice((
        lambda: data[:begin] + data[after:],
        lambda: data[:begin] + data[begin:after] * chance.choice((2, 100)) + data[after:],
        lambda: data[:elsewhere] + data[begin:after] + data[elsewhere:],
        lambda: data[:begin] + bytes([chance.choice(data[place : place + 1] or b".")
                                      for place in (elsewhere,)]) + data[begin + 1 :],
        lambda: data[: begin + 1] + chance.choice((b"\xff", b"\0", b"\x01")) * (after - begin - 1) + data[after:],
    ))()


def _zip_changed(data: bytes, chance: random.Random) -> bytes:
    """torch.save's zip: its pickle changed, or an entry left out, emptied, renamed or compressed."""
    kind, made = chance.randrange(8), io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
        chosen = chance.choice(old.namelist())
        for name in old.namelist():
            content = old.read(name)
            if kind < 4 and name.endswith("data.pkl"):
                content = _pickle_changed(content, chance)
            elif kind >= 4 and name == chosen:
                if kind == 4:
                    continue
                content = (content, b"", content[: len(content) // 2], content * 2)[chance.randrange(4)]
                name = f"{name}x" if kind == 5 else name
            new.writestr(name, content, zipfile.ZIP_DEFLATED if kind == 6 and name == chosen else zipfile.ZIP_STORED)
    return made.getvalue()


def _graph_changed(data: bytes, chance: random.Random) -> bytes:
    """ONNX: a node, an attribute, a weight or an input of its graph."""
    model = onnx.ModelProto.FromString(data)
    graph = model.graph
    node, weight = chance.choice(graph.node), chance.choice(graph.initializer)
    kinds = sorted({item.op_type for item in graph.node} | _OPERATORS)

    def attribute() -> None:
        chosen = chance.choice([item for one in graph.node for item in one.attribute])
        if chosen.ints:
            chosen.ints[chance.randrange(len(chosen.ints))] = chance.choice(_NUMBERS)
        elif chosen.type == onnx.AttributeProto.FLOAT:
            chosen.f = chance.choice((0.0, math.nan, math.inf, -1e30))
        else:
            chosen.i = chance.choice(_NUMBERS)

    def whole_numbers() -> None:
        chosen = chance.choice([item for item in graph.initializer if item.data_type == 7] or [weight])
        count = len(onnx.numpy_helper.to_array(chosen).reshape(-1))
        chosen.raw_data = b"".join(chance.choice(_NUMBERS).to_bytes(8, "little", signed=True) for _ in range(count))

    def dimension() -> None:
        place = chance.choice(graph.input[0].type.tensor_type.shape.dim)
        place.dim_value = chance.choice(_NUMBERS)

    def rewire() -> None:
        node.input[chance.randrange(len(node.input))] = chance.choice(
            [*(name for one in graph.node for name in one.output), weight.name, ""])

    chance.choice((
        attribute, attribute, whole_numbers, dimension, rewire, rewire,
        lambda: setattr(node, "op_type", chance.choice(kinds)),
        lambda: graph.node.remove(node),
        lambda: graph.node.add().CopyFrom(node),
        lambda: weight.dims.append(chance.choice(_NUMBERS)),
        lambda: weight.dims.__setitem__(0, chance.choice(_NUMBERS)),
        lambda: setattr(weight, "data_type", chance.randrange(24)),
        lambda: setattr(model.opset_import[0], "version", chance.choice((0, 1, 9, 13, 26, 99, -1))),
        lambda: setattr(graph.output[0], "name", node.output[0]),
    ))()
    return model.SerializeToString()


_MUTATIONS: dict[str, Mutation] = {
    ".safetensors": _list_changed, ".ckpt": _zip_changed, ".pth": _pickle_changed, ".onnx": _graph_changed,
    ".txt": _lines_changed, ".json": _json_changed,
}


# Cases one after the other, in a process that may end.


def resident(kind: str) -> int:
    """MB of this process: "VmRSS" now, "VmHWM" the most since `forget_peak`."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(kind))
    return int(line.split()[1]) >> 10


def forget_peak() -> None:
    """The most memory is counted from now on."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")


def child(first: int, end: int) -> None:
    """Runs these cases; prints number, name, seconds, MB above before, and what came of it, as a line of JSON."""
    files = seeds()
    for name, data in files.items():  # what loading needs is imported, and counted as before
        assert outcome(name, data) in ("network", "names"), (name, outcome(name, data))
    for number in range(first, end):
        name, data = case(files, number)
        forget_peak()
        faulthandler.dump_traceback_later(60, exit=True)
        before, start = resident("VmRSS"), time.process_time()
        try:
            result = outcome(name, data)
        except Exception as error:
            result = f"!{type(error).__name__}: {error}"[:500]
        print(json.dumps([number, name, time.process_time() - start, resident("VmHWM") - before, result,
                          resident("VmRSS")]), flush=True)
        faulthandler.cancel_dump_traceback_later()


def main() -> int:
    """Prints what is wrong as it comes, and the figures after each hundred; 1 where anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    end = options.first + options.count
    if options.child:
        child(options.first, end)
        return 0
    results: Counter[str] = Counter()
    slowest, largest, at, memory = 0.0, 0, options.first, []
    while at < end:
        command = [sys.executable, "-m", "benchmarks.fuzz", "--child", "--first", str(at), "--count", str(end - at)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                number, name, seconds, growth, result, rss = json.loads(line)
                at, slowest, largest = number + 1, max(slowest, seconds), max(largest, growth)
                memory.append(rss)
                wrong = result[:1] == "!" or seconds > MOST_SECONDS or growth > MOST_GROWTH
                results["wrong" if wrong else result if result in ("network", "names") else "sentence"] += 1
                if wrong:
                    print(f"{number} {name} {seconds:.1f} s {growth} MB {result}", flush=True)
                if at % 100 == 0 or at == end:
                    print(f"up to {number}: {dict(results)}; slowest {slowest:.1f} s, most above before {largest} MB, "
                          f"resident from {memory[0]} to {memory[-1]} MB (most {max(memory)} MB)", flush=True)
        if at < end:  # it ended early
            results["crash"] += 1
            print(f"{at} {list(_FILES)[at % len(_FILES)]} ended its process ({process.returncode})", flush=True)
            at += 1
    return 1 if results["wrong"] or results["crash"] else 0


_FILES = ("weights.safetensors", "lightning.ckpt", "older.pth", "small.onnx", "token.onnx", "names.txt", "names.json",
          "config.json")

if __name__ == "__main__":
    sys.exit(main())
