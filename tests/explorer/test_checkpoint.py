"""Checkpoints that people bring: read as torch and safetensors read them, or refused in a sentence, and never run."""

from __future__ import annotations

import argparse
import contextlib
import copy
import datetime
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import nn
from torchvision import tv_tensors

from explorer.errors import NetworkError
from explorer.networks.loading.checkpoint import read_checkpoint
from explorer.networks.loading.layouts import readings


def saved(value: object, **how: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **how)
    return file.getvalue()


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2)).state_dict()


def refusal(data: bytes | Path, name: str = "my_model.pth", **how: int) -> str:
    with pytest.raises(NetworkError) as caught:
        read_checkpoint(data, name, **how)
    sentence = str(caught.value)
    assert sentence.endswith((".", ").")), sentence
    assert "\n" not in sentence
    assert len(sentence) < 480
    return sentence


def assert_same(got: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(got) == list(expected)
    for key in expected:
        assert got[key].dtype == expected[key].dtype
        assert torch.equal(got[key], expected[key])


@pytest.mark.parametrize("zipped", [True, False])
def test_reads_what_torch_load_reads(state, zipped):
    data = saved({"epoch": 3, "state_dict": state, "best": torch.tensor(0.5)}, _use_new_zipfile_serialization=zipped)
    expected = torch.load(io.BytesIO(data), weights_only=True)["state_dict"]
    checkpoint = read_checkpoint(data)
    assert_same(checkpoint.state, dict(expected))
    assert checkpoint.opened == ("state_dict",)


def test_reads_what_safetensors_reads_in_the_order_of_the_file(state):
    data = save(dict(state))
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    checkpoint = read_checkpoint(data, "model.pth")
    expected = load(data)
    assert_same(checkpoint.state, {key: expected[key] for key in header})


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_views_of_one_storage_come_out_as_torch_load_gives_them(data):
    base = torch.arange(24.0).reshape(2, 3, 4).permute(data.draw(st.permutations(range(3))))
    axis = data.draw(st.integers(0, 2))
    start = data.draw(st.integers(0, base.shape[axis] - 1))
    view = base.narrow(axis, start, data.draw(st.integers(0, base.shape[axis] - start)))
    kind = data.draw(st.sampled_from([torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool]))
    file = saved({"view": view.to(kind), "raw": view, "parameter": nn.Parameter(base)})
    expected = torch.load(io.BytesIO(file), weights_only=True)
    assert_same(read_checkpoint(file).state, {key: tensor.detach() for key, tensor in expected.items()})


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("write", [saved, save, lambda s: saved(s, _use_new_zipfile_serialization=False)])
def test_half_precision_is_kept_and_not_a_number_is_allowed(kind, write):
    tensor = torch.tensor([1.5, -2.25, float("nan"), float("inf")]).to(kind)
    got = read_checkpoint(write({"a": tensor})).state["a"]
    assert got.dtype is kind
    assert got.tolist()[:2] == [1.5, -2.25]
    assert got.isnan().tolist() == [False, False, True, False]


@pytest.mark.parametrize(("wrap", "opened"), [
    (lambda s: {"model_state_dict": s, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "groups": [1]}},
     ("model_state_dict",)),
    (lambda s: {"model": {"state_dict": s}}, ("model", "state_dict")),
    (lambda s: {f"module.{key}": tensor for key, tensor in s.items()}, ("module.",)),
    (lambda s: {"state_dict": {f"module._orig_mod.{key}": tensor for key, tensor in s.items()}},
     ("state_dict", "_orig_mod.", "module.")),
    (lambda s: {"my_net": s, "epoch": 1, "optimizer_state": {"a": torch.ones(1)}}, ("my_net",)),
    (lambda s: {"model": s, "ema": {key: tensor * 0 for key, tensor in s.items()}}, ("model",)),
])
def test_opens_the_common_wrappings_and_says_which(state, wrap, opened):
    checkpoint = read_checkpoint(saved(wrap(state)))
    assert_same(checkpoint.state, dict(state))
    assert checkpoint.opened == opened


@pytest.mark.parametrize(("file", "opened", "words"), [
    (lambda s, zero: {"state_dict": zero, "state_dict_ema": s}, "state_dict_ema", "the raw ones are in the file too"),
    (lambda s, zero: {"model": zero, "model_ema": {
        "n_averaged": torch.tensor(3), **{f"module.{key}": tensor for key, tensor in s.items()}}}, "model_ema",
     "the raw ones are in the file too"),
    (lambda s, zero: {"ema": s, "epoch": 1}, "ema", "no others are there"),
    (lambda s, zero: {"model": s, "ema": zero}, "model", "the raw ones (model)"),
])
def test_averaged_weights_are_taken_where_timm_takes_them_or_none_else_are_there_and_it_is_said(
    state, file, opened, words
):
    zero = {key: tensor * 0 for key, tensor in state.items()}
    checkpoint = read_checkpoint(saved(file(state, zero)))
    assert_same(checkpoint.state, dict(state))
    assert checkpoint.opened[0] == opened
    (caution,) = checkpoint.cautions
    assert words in caution


def test_both_readings_of_a_shared_first_name_are_offered(state):
    lightning = {**{f"model.{key}": tensor for key, tensor in state.items()}, "loss.weight": torch.ones(2)}
    assert list(readings(lightning)) == [(), ("model.",)]
    assert_same(readings(lightning)[()], lightning)
    assert_same(readings(lightning)["model.",], dict(state))
    assert list(readings(dict(state))) == [()]


class Attack:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_command_beside_the_weights_is_neither_run_nor_in_the_way(tmp_path, state, protocol, zipped):
    marker = tmp_path / "it ran"
    file = {"state_dict": state, "epoch": Attack(os.system, f"touch '{marker}'")}
    data = saved(file, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    assert_same(read_checkpoint(data).state, dict(state))
    assert not marker.exists()
    torch.load(io.BytesIO(data), weights_only=False)
    assert marker.exists()  # so it does run where it is let


def test_a_bare_pickle_is_refused_and_not_run(tmp_path):
    marker = tmp_path / "it ran"
    assert "safetensors" in refusal(pickle.dumps({"a": Attack(os.system, f"touch '{marker}'")}))
    assert not marker.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_what_training_scripts_write_beside_the_weights_is_not_in_the_way(state, zipped):
    beside = {
        "args": argparse.Namespace(lr=0.1), "best": np.float64(0.9), "curve": np.arange(3.0), "where": Path("runs"),
        "when": datetime.date(2024, 1, 1), "history": defaultdict(list, loss=[1.0]), "kinds": {"a", "b"},
        "frozen": frozenset({1}), "bytes": bytearray(b"abc"), "complex": 1j, "device": torch.device("cpu"),
        "counts": Counter("aab"), "path": [Path("a"), (Path("b"),)], "kind": torch.float32, "size": torch.Size([2]),
    }
    for protocol in (2, 5):
        data = saved({**beside, "state_dict": state}, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
        assert_same(read_checkpoint(data).state, dict(state))


def test_weights_in_a_dict_of_another_kind_and_tensors_of_a_custom_class_are_read(state):
    data = saved({"model": defaultdict(int, state), "epoch": 1})
    assert_same(read_checkpoint(data).state, dict(state))
    photos = {key: tv_tensors.Image(tensor) for key, tensor in state.items() if tensor.ndim > 1}
    assert_same(read_checkpoint(saved(photos)).state, {key: tensor.as_subclass(torch.Tensor) for key, tensor
                                                       in photos.items()})


@pytest.mark.parametrize(("how", "call"), [
    ("global", "bait run"), ("stack", "bait run"), ("dotted", "bait run"), ("global", "builtins eval"),
    ("stack", "torch.storage _load_from_bytes"), ("global", "collections OrderedDict.fromkeys"),
])
def test_no_name_in_a_pickle_is_imported_or_called(call, how, state, tmp_path, monkeypatch):
    (tmp_path / "bait.py").write_text("import pathlib\npathlib.Path(__file__).unlink()\nrun = print\n")
    monkeypatch.syspath_prepend(tmp_path)
    module, name = call.split()
    named = {"global": f"c{module}\n{name}\n".encode(), "dotted": f"c{module}\n{name}.__call__\n".encode(),
             "stack": b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name)) + b"\x93"}[how]
    sentence = refusal(with_pickle(b"\x80\x04" + named + b"\x8c\x031+1\x85R.", state))
    assert f"Python object ({module}.{name}" in sentence
    assert (tmp_path / "bait.py").exists()


@pytest.mark.parametrize("pickled", [
    b"\x80\x02\x82\x01.",                              # an extension of copyreg
    b"\x80\x02(ios\nsystem\n.",                         # INST
    b"\x80\x02(cos\nsystem\nX\x01\x00\x00\x00ao.",     # OBJ
    b"\x80\x02Pabc\n.",                                 # a persistent name as text
    b"\x80\x05\x97.",                                   # a buffer from elsewhere
    b"\x80\x02X\x01\x00\x00\x00aQ.", b"\x80\x02K\x01Q.",  # a persistent name that is no storage
])
def test_an_instruction_that_torch_save_does_not_write_is_refused(pickled, state):
    assert "not written by torch.save" in refusal(with_pickle(pickled, state))


def test_a_pickle_cannot_change_what_it_names(state):
    """BUILD sets attributes: on a function of torch they would stay for everyone."""
    before = torch._utils._rebuild_tensor_v2.__defaults__, dict(vars(torch._utils._rebuild_tensor_v2))
    build = (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x0c\x00\x00\x00__defaults__(K\x01K\x02ts\x86b.")
    refusal(with_pickle(build, state))
    assert (torch._utils._rebuild_tensor_v2.__defaults__, vars(torch._utils._rebuild_tensor_v2)) == before


def with_pickle(content: bytes, state: dict) -> bytes:
    """A file of torch.save with another pickle in it."""
    return rewritten(saved(state), lambda path, old: content if path.endswith("data.pkl") else old)


def rewritten(data: bytes, change, compression: int = zipfile.ZIP_STORED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w", compression) as new:
        for path in old.namelist():
            new.writestr(path, change(path, old.read(path)))
    return made.getvalue()


def rebuild(count: int, offset: object, size: tuple, stride: tuple, key: str = "0") -> bytes:
    """A pickle of {"w": a tensor that claims all this}."""
    class Storage:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return ("storage", torch.FloatStorage, key, "cpu", count) if isinstance(value, Storage) else None

    file = io.BytesIO()
    Pickler(file, 2).dump({"w": Attack(torch._utils._rebuild_tensor_v2, Storage(), offset, size, stride, False, {})})
    return file.getvalue()


@pytest.mark.parametrize("claim", [
    rebuild(2_500_000_000, 0, (2_500_000_000,), (1,)),          # a storage of 10 GB
    rebuild(4, 0, (50_000, 50_000), (0, 0)),                    # 10 GB of one number, by steps of nothing
    rebuild(4, 0, (2, 2), (1000, 1)),                           # numbers behind the storage
    rebuild(4, 1 << 40, (1,), (1,)),
    rebuild(4, -1, (1,), (1,)),
    rebuild(4, 0, (-4,), (1,)),
    rebuild(4, 0, (1 << 62, 1 << 62), (1, 1)),
    rebuild(4, 0, (2, 2), (1,)),
    rebuild(-1, 0, (1,), (1,)),
    rebuild(4, 0, (1.5,), (1,)),
    rebuild(4, 0, (1,) * 1000, (1,) * 1000),
    rebuild(4, 0, (1,), (1,), key="../../etc/passwd"),
    rebuild(4, 0, (1,), (1,), key="7"),
])
def test_a_tensor_that_claims_more_than_the_file_holds_is_refused(claim):
    sentence = refusal(with_pickle(claim, {"w": torch.zeros(4)}))
    assert any(word in sentence for word in ("claims", "damaged", "not whole"))


def test_tensors_of_one_storage_share_it():
    base = torch.arange(10_000.0)
    state = read_checkpoint(saved({str(n): base[n:] for n in range(1000)})).state
    assert len({tensor.untyped_storage().data_ptr() for tensor in state.values()}) == 1
    assert torch.equal(state["999"], base[999:])


def test_entries_that_overlap_are_refused(state):
    """A zip file whose directory lists the same bytes many times would grow when they are copied."""
    data = saved({"a": torch.zeros(100_000)})
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        original = next(info for info in file.infolist() if info.filename.endswith("data/0"))
    made = io.BytesIO(data)
    with zipfile.ZipFile(made, "a") as file:
        for n in range(1, 50):
            again = copy.copy(original)
            again.filename = original.filename[:-1] + str(n)
            file.filelist.append(again)
            file.NameToInfo[again.filename] = again
        file._didModify = True
    assert "claim more bytes" in refusal(made.getvalue())


_BOUNDED = """
import resource, sys
from explorer.networks.loading.checkpoint import read_checkpoint
from explorer.errors import NetworkError
import torch
def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    data = open(path, "rb").read()
    before = memory()
    try:
        read_checkpoint(data, path)
        print("read", path)
    except NetworkError as error:
        print("refused", memory() - before < 60_000, str(error)[-60:])
"""


def test_memory_stays_bounded_whatever_a_file_claims(tmp_path):
    length = 10 << 30
    bombs = {
        "zip.pth": rewritten(saved({"w": torch.zeros(20_000_000 // 4)}), lambda path, old: old, zipfile.ZIP_DEFLATED),
        "claim.pth": with_pickle(rebuild(2_500_000_000, 0, (2_500_000_000,), (1,)), {"w": torch.zeros(4)}),
        "expand.pth": with_pickle(rebuild(4, 0, (50_000, 50_000), (0, 0)), {"w": torch.zeros(4)}),
        "head.safetensors": struct.pack("<Q", length) + b'{"a":1}',
        "body.safetensors": safetensors({"a": {"dtype": "F32", "shape": [length // 4], "data_offsets": [0, length]}}),
        "text.pth": with_pickle(b"\x80\x04\x8d" + struct.pack("<Q", length) + b"abc.", {"w": torch.zeros(1)}),
        "memo.pth": with_pickle(b"\x80\x02}r" + struct.pack("<I", 2**32 - 1) + b".", {"w": torch.zeros(1)}),
        "deep.pth": with_pickle(b"\x80\x02}" + b")" + b"\x85" * 500_000 + b"K\x01s.", {"w": torch.zeros(1)}),
        "deeper.pth": with_pickle(b"\x80\x02)" + b"\x85" * 500_000 + b")R.", {"w": torch.zeros(1)}),
        "bytearray.pth": with_pickle(b"\x80\x05\x96" + struct.pack("<Q", length) + b"abc.", {"w": torch.zeros(1)}),
        "pairs.pth": with_pickle(b"\x80\x02]q\x00(" + b"X\x01\x00\x00\x00aK\x01\x86" * 10_000 + b"e0]q\x01(" + (
            b"ccollections\nOrderedDict\nh\x00\x85R" * 10_000) + b"e.", {"w": torch.zeros(1)}),
        "dicts.pth": with_pickle(b"\x80\x02" + b"}" * 1_100_000 + b".", {"w": torch.zeros(1)}),
        "laughs.pth": with_pickle(b"\x80\x02]q\x00K\x01a0" + b"".join(
            b"]q" + bytes([n + 1]) + b"(" + (b"h" + bytes([n])) * 10 + b"e0" for n in range(40)) + b"h\x28.",
            {"w": torch.zeros(1)}),
        "legacy.pth": saved({"w": torch.zeros(4)}, _use_new_zipfile_serialization=False).replace(
            struct.pack("<Q", 4) + bytes(16), struct.pack("<Q", 1 << 40) + bytes(16)),
    }
    for name, data in bombs.items():
        (tmp_path / name).write_bytes(data)
    done = subprocess.run([sys.executable, "-c", _BOUNDED, *(str(tmp_path / name) for name in bombs)],
                          capture_output=True, text=True, check=True, timeout=400)
    lines = done.stdout.splitlines()
    assert len(lines) == len(bombs), done.stdout
    assert all(line.startswith("refused True") for line in lines), done.stdout


def safetensors(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


@pytest.mark.parametrize("data", [
    safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"1234"),
    safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [-4, 4]}}, b"1234"),
    safetensors({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, b"12345678"),
    safetensors({"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}, b"1234"),
    safetensors({"a": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}, b"1234"),
    safetensors({"a": [1, 2]}), safetensors(b"{" * 100_000), safetensors(b"{}"), safetensors(b"{\xff}"),
    struct.pack("<Q", 2**63) + b"{}",
])
def test_a_wrong_list_of_tensors_in_safetensors_is_refused(data):
    assert "my_model.safetensors" in refusal(data, "my_model.safetensors")


@pytest.mark.parametrize(("value", "words"), [
    ({"a": torch.zeros(2).to_sparse()}, "sparse"),
    ({"a": torch.zeros(2, dtype=torch.complex64)}, "complex"),
    ({"a": torch.zeros(2, device="meta")}, "without numbers"),
    ({"a": torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8)}, "quantised"),
    ({"a": torch.zeros(2, dtype=torch.float8_e5m2)}, "float8"),
    (nn.Linear(2, 2), "Python object (torch.nn.modules.linear.Linear) and not a state dict"),
    ({"model": nn.Linear(2, 2), "epoch": 1}, "Python object (torch.nn.modules.linear.Linear) and not a state dict"),
    (3, "no state dict"), ([torch.zeros(2)], "no state dict"), ({"epoch": 3}, "no state dict"),
])
def test_anything_but_plain_tensors_under_names_is_refused_by_what_it_is(value, words):
    assert words in refusal(saved(value))


@pytest.mark.parametrize("write", [saved, lambda s: saved(s, _use_new_zipfile_serialization=False),
                                   lambda s: save(dict(s))])
def test_a_file_that_was_cut_short_anywhere_is_refused(state, write):
    data = write(state)
    assert read_checkpoint(data).state
    lengths = {*range(0, len(data) - 1, max(1, len(data) // 80)), len(data) - 1, 1, 7, 8, 9}
    for length in lengths:
        refusal(data[:length])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1), new=st.binary(min_size=1, max_size=8), which=st.integers(0, 2))
def test_damaged_bytes_are_read_or_refused_and_nothing_else(state, place, new, which):
    data = [saved(state), saved(state, _use_new_zipfile_serialization=False), save(dict(state))][which]
    at = int(place * (min(len(data), 2500) - 1))
    with contextlib.suppress(NetworkError):  # any other error fails
        assert all(isinstance(tensor, torch.Tensor)
                   for tensor in read_checkpoint(data[:at] + new + data[at + len(new):]).state.values())


def test_a_file_is_measured_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "large.pth"
    with path.open("wb") as file:
        file.truncate(5 << 30)  # takes no room on the disk
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("it was opened"))
    assert "5,368,709,120 bytes; at most 1,073,741,824" in refusal(path, "")
    assert refusal(b"12345", most=4) == "my_model.pth has 5 bytes; at most 4 are accepted."


def test_an_absent_path_an_empty_file_and_a_folder_are_refused(tmp_path):
    (tmp_path / "empty.pth").write_bytes(b"")
    assert refusal(tmp_path / "empty.pth", "") == "empty.pth is empty: it has no bytes."
    assert "cannot be read" in refusal(tmp_path / "none.pth")
    assert "cannot be read" in refusal(tmp_path)


def test_names_from_a_file_are_cut_and_cleaned_in_a_sentence():
    key = "<script>alert(1)</script>\n\x1b[31m" + "x" * 1_000_000
    claim = rebuild(4, 0, (50_000, 50_000), (0, 0)).replace(
        b"X\x01\x00\x00\x00w", b"X" + struct.pack("<I", len(key)) + key.encode())
    sentence = refusal(with_pickle(claim, {"w": torch.zeros(4)}), "a\x1b]0;name\n.pth")
    assert sentence.startswith("a?]0;name?.pth")
    assert "\x1b" not in sentence
    assert "<script>alert(1)</script>??[31m" in sentence  # markup is for a page to escape
