"""Programs that people bring, TorchScript and torch.export: rebuilt to give the same logits, and never run by torch."""

from __future__ import annotations

import io
import json
import os
import pickle
import warnings
import zipfile

import pytest
import timm
import torch
import torchvision
from torch import fx, nn
from torch.nn import functional

from explorer.errors import NetworkError
from explorer.networks.loading.operations import ALLOWED
from explorer.networks.loading.programs import Program, program_kind, read_program


def scripted(module: nn.Module) -> bytes:
    return jit(torch.jit.script(module))


def traced(module: nn.Module, *shape: int) -> bytes:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        return jit(torch.jit.trace(module, torch.zeros(shape), check_trace=False))


def jit(module: torch.jit.ScriptModule) -> bytes:
    file = io.BytesIO()
    torch.jit.save(module, file)
    return file.getvalue()


def exported(module: nn.Module, *shape: int, free_batch: bool = False) -> bytes:
    file = io.BytesIO()
    dynamic = ({0: torch.export.Dim("batch")},) if free_batch else None
    torch.export.save(torch.export.export(module, (torch.zeros(shape),), dynamic_shapes=dynamic), file)
    return file.getvalue()


def settled(module: nn.Module) -> nn.Module:
    """In evaluation mode, with statistics that are no zeros and ones."""
    generator = torch.Generator().manual_seed(0)
    for name, buffer in module.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return module.eval()


def assert_same_logits(program: Program, module: nn.Module, *shapes: tuple[int, ...]) -> None:
    assert isinstance(program.module, fx.GraphModule)
    for shape in shapes:
        photo = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            wanted = module(photo.clone())
            assert (program.module(photo) - wanted).abs().max() <= 1e-5 * wanted.abs().max()
            assert wanted.std() > 0


def test_resnet18_scripted_and_traced_gives_its_own_logits_at_any_size():
    model = settled(torchvision.models.resnet18(weights=None, num_classes=5))
    for data in (scripted(model), traced(model, 1, 3, 64, 64)):
        program = read_program(data, "resnet18.pt")
        assert (program.kind, program.batch, program.fixed, program.classes) == ("TorchScript", None, False, 5)
        assert_same_logits(program, model, (2, 3, 64, 96), (1, 3, 65, 33))
        assert isinstance(program.module.get_submodule("fc"), nn.Linear)
        assert torch.equal(program.module.state_dict()["layer1.0.conv1.weight"], model.layer1[0].conv1.weight)


@pytest.mark.parametrize("build", [lambda: torchvision.models.mobilenet_v3_small(weights=None),
                                   lambda: timm.create_model("convnext_atto", num_classes=7)])
def test_other_networks_traced_and_exported_give_their_own_logits(build):
    model = settled(build())
    for data in (traced(model, 2, 3, 64, 64), exported(model, 2, 3, 64, 64)):
        program = read_program(data)
        assert_same_logits(program, model, (3, 3, 64, 64), (1, 3, 96, 128))
        assert not program.fixed


def test_a_scripted_mobilenet_with_its_branches_gives_its_own_logits():
    model = settled(torchvision.models.mobilenet_v3_small(weights=None))
    model.train()  # saved in training mode: it is read in evaluation mode
    data = scripted(model)
    assert_same_logits(read_program(data), model.eval(), (2, 3, 64, 64))


class Tricky(nn.Module):
    """Sizes asked of the input, parts of lists, loops, branches and things done in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, bias=False)
        self.blocks = nn.ModuleList([nn.Conv2d(8, 8, 1) for _ in range(3)])
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 4)
        self.register_buffer("scale", torch.tensor([2.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[-2:]
        x = functional.pad(x, [width % 2, 1, height % 2, 1])
        x = self.conv(x)
        for block in self.blocks:
            x = x + block(functional.relu(x, inplace=True))
        half, other = x[:, :4], x[:, 4:]
        half.mul_(3.0)  # changes x too
        other = torch.cat(torch.chunk(other.clone().sub_(1.0), 2, 1), 1)
        x = torch.cat([x[:, :4], other * self.scale], 1)
        if x.dim() != 4:
            raise ValueError("no image")
        y = x.flatten(2).mean(-1).view(x.size(0), -1)
        return self.head(self.norm(y))


def test_what_is_done_in_place_and_asked_of_sizes_stays_the_same():
    torch.manual_seed(0)
    model = Tricky().eval()
    for data in (scripted(model), traced(model, 2, 3, 224, 224), exported(model, 2, 3, 224, 224, free_batch=True)):
        program = read_program(data)
        assert program.shape == (3, 224, 224)
        assert_same_logits(program, model, (2, 3, 224, 224), (3, 3, 224, 224))
        assert isinstance(program.module.get_submodule("norm"), nn.LayerNorm)
        again = torch.randn(2, 3, 224, 224)
        kept = again.clone()
        assert torch.equal(program.module(again), program.module(again))
        assert torch.equal(again, kept)


class Small(nn.Module):
    def __init__(self, channels: int = 3, side: int = 28) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)
        self.head = nn.Linear(4 * side * side, 3)

    def forward(self, x):
        return self.head(torch.flatten(torch.relu(self.conv(x)), 1))


def test_a_network_of_grey_images_of_one_size_says_what_it_takes():
    model = Small(1, 28)
    program = read_program(scripted(model))
    assert program.shape == (1, 28, 28)
    assert program.fixed
    assert_same_logits(program, model, (2, 1, 28, 28))


def test_a_program_of_one_photo_at_a_time_says_so():
    class One(Small):
        def forward(self, x):
            return self.head(torch.relu(self.conv(x)).view(1, -1))

    model = One(3, 32)
    for data in (traced(model, 1, 3, 32, 32), exported(model, 1, 3, 32, 32)):
        program = read_program(data)
        assert (program.batch, program.shape) == (1, (3, 32, 32))
        assert_same_logits(program, model, (1, 3, 32, 32))


def refusal(data: bytes, name: str = "my_model.pt") -> str:
    with pytest.raises(NetworkError) as caught:
        read_program(data, name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    return str(caught.value)


class Writes(nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, self.path)
        return x.mean((2, 3))


class Restores(nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    @torch.jit.export
    def __getstate__(self):
        return (self.path, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]):
        self.path = state[0]
        self.training = state[1]
        torch.save(torch.ones(1), self.path)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


def test_a_script_that_writes_a_file_is_refused_and_not_run(tmp_path):
    marker = tmp_path / "it ran"
    data = scripted(Writes(str(marker)))
    assert "operation save" in refusal(data)
    assert not marker.exists()
    torch.jit.load(io.BytesIO(data))(torch.zeros(1, 3, 4, 4))
    assert marker.exists()  # so the attack is real


def test_a_script_that_restores_itself_is_refused_without_loading_it(tmp_path):
    marker = tmp_path / "it ran"
    data = scripted(Restores(str(marker)))
    marker.unlink(missing_ok=True)
    assert "restores itself" in refusal(data)
    assert not marker.exists()
    torch.jit.load(io.BytesIO(data))
    assert marker.exists()  # loading alone is enough


def changed(data: bytes, change) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
        for path in old.namelist():
            new.writestr(path, change(path, old.read(path)))
    return made.getvalue()


def with_body(body: str) -> bytes:
    """A script whose forward has this text."""
    def change(path: str, content: bytes) -> bytes:
        if path.endswith(".py"):
            text = content.decode()
            start = text.index("    x: Tensor) -> Tensor:\n")
            return (text[:start] + "    x: Tensor) -> Tensor:\n" + body).encode()
        return content

    class Base(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3)) @ self.weight

    return changed(scripted(Base()), change)


@pytest.mark.parametrize(("body", "words"), [
    ("    return torch.from_file('/etc/passwd', False, 100)\n", "from_file"),
    ("    return __import__('os').system('true')\n", "__import__"),
    ("    return ops.aten.set_(x, self.weight)\n", "set_"),
    ("    return ops.profiler._call_end_callbacks_on_jit_fut(x, x)\n", "profiler"),
    ("    return torch.as_strided(x, [9], [9], 9)\n", "as_strided"),
    ("    return x.__class__.__bases__\n", "attribute"),
    ("    return (lambda: x)()\n", "Lambda"),
    ("    import os\n    return x\n", "Import"),
    ("    while True:\n      pass\n    return x\n", "steps"),
    ("    for i in range(100000000000):\n      pass\n    return x\n", "follow"),
    ("    return (self).forward(x, )\n", "deeply"),
    ("    a = 'aaaaaaaa'\n    b = torch.mul(a, 1000000000)\n    return x\n", "follow"),
    ("    a = 9\n    for i in range(70):\n      a = torch.mul(a, a)\n    return x\n", "follow"),
    ("    return torch.mean(torch.zeros([100000, 100000, 100]), [2])\n", "more than PoolScope gives memory to"),
    ("    _0 = torch.add_(self.weight, 1)\n    return torch.mean(x, [2, 3])\n", "changes its own tensors"),
    ("    return torch.dropout(torch.mean(x, [2, 3]), 0.5, True)\n", "training mode"),
    ("    return torch.rand([2, 3])\n", "operation rand"),
    ("    return x\n", "no classifier"), ("    return None\n", "no classifier"), ("    pass\n", "no classifier"),
    ("    return (((((\n", "cannot be read"), ("    return " + "(" * 5000 + ")" * 5000 + "\n", "cannot be read"),
    ("    return " + "-" * 100_000 + "1\n", "cannot be read"),
    ("    if torch.gt(torch.sum(x), 0):\n      y = x\n    else:\n      y = x\n    return y\n", "numbers of a tensor"),
])
def test_a_script_that_asks_for_more_than_arithmetic_is_refused(body, words):
    assert words in refusal(with_body(body))


def test_a_script_that_asks_for_arithmetic_alone_is_read():
    program = read_program(with_body("    return torch.mul(torch.mean(x, [2, 3]), 2)\n"))
    assert torch.equal(program.module(torch.ones(1, 3, 2, 2)), torch.full((1, 3), 2.0))


def test_no_operation_on_the_list_touches_files_memory_or_chance():
    forbidden = {"save", "from_file", "set_", "set", "as_strided", "resize", "empty", "empty_like", "new_empty", "rand",
                 "randn", "bernoulli", "rrelu", "data_ptr", "record_stream", "index_put", "put", "max_unpool2d"}
    assert not ALLOWED & forbidden
    assert all(hasattr(torch.ops.aten, name) or hasattr(torch.ops.aten, f"{name}_") or name in dir(torch)
               or hasattr(functional, name) for name in ALLOWED)


class Attack:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


def test_an_export_whose_sample_inputs_run_a_command_is_read_without_them(tmp_path):
    model, marker = Small().eval(), tmp_path / "it ran"
    evil = io.BytesIO()
    torch.save(Attack(str(marker)), evil)
    data = changed(exported(model, 2, 3, 28, 28),
                   lambda path, old: evil.getvalue() if "sample_inputs" in path else old)
    assert_same_logits(read_program(data), model, (2, 3, 28, 28))
    assert not marker.exists()


@pytest.mark.parametrize("flag", ["use_pickle", "path_name"])
def test_an_export_with_pickled_weights_is_refused(tmp_path, flag):
    marker = tmp_path / "it ran"
    payload = pickle.dumps(Attack(str(marker)))

    def change(path: str, old: bytes) -> bytes:
        if path.endswith("weights_config.json"):
            config = json.loads(old)
            next(iter(config["config"].values()))[flag] = True if flag == "use_pickle" else "opaque_obj_0"
            return json.dumps(config).encode()
        return payload if path.endswith("weight_0") and flag == "use_pickle" else old

    assert "executes nothing" in refusal(changed(exported(Small().eval(), 2, 3, 28, 28), change))
    assert not marker.exists()


def edited(edit) -> bytes:
    def change(path: str, old: bytes) -> bytes:
        if not path.endswith("model.json"):
            return old
        tree = json.loads(old)
        edit(tree["graph_module"])
        return json.dumps(tree).encode()

    return changed(exported(Small().eval(), 2, 3, 28, 28), change)


@pytest.mark.parametrize("target", ["torch.ops.aten.from_file.default", "os.system", "_operator.attrgetter",
                                    "torch.ops.aten.__class__", "torch.ops.higher_order.cond", "builtins.eval",
                                    "torch.ops.aten.save", "math.pow", ""])
def test_an_export_that_asks_for_more_than_arithmetic_is_refused(target):
    assert "asks for the operation" in refusal(
        edited(lambda module: module["graph"]["nodes"][0].update(target=target)))


@pytest.mark.parametrize("edit", [
    lambda module: module["graph"]["nodes"].clear(),
    lambda module: module["graph"]["nodes"][0]["inputs"].clear(),
    lambda module: module["graph"]["nodes"][0]["inputs"][0].update(arg={"as_tensor": {"name": "nobody"}}),
    lambda module: module["graph"]["nodes"][0]["inputs"][0].update(arg={"as_graph": {}}),
    lambda module: module["graph"].update(nodes=7), lambda module: module.update(signature=None),
    lambda module: module["signature"]["input_specs"].pop(),
    lambda module: module["graph"]["tensor_values"]["x"].update(sizes=[{"as_expr": {"expr_str": "exec('1')"}}] * 4),
])
def test_a_damaged_export_is_refused(edit):
    refusal(edited(edit))


def test_a_name_from_a_file_does_not_become_code(tmp_path):
    marker = tmp_path / "it ran"
    name = f'a"); __import__("os").system("touch \'{marker}\'"); ("'

    def change(path: str, old: bytes) -> bytes:
        if path.endswith(("model.json", "config.json")):
            return old.replace(b'"conv.weight"', json.dumps(f"{name}.{name}").encode()).replace(
                b'"conv.bias"', b'"class.forward"')
        return old

    model = Small().eval()
    program = read_program(changed(exported(model, 2, 3, 28, 28), change))
    assert not marker.exists()
    assert program.module(torch.zeros(2, 3, 28, 28)).shape == (2, 3)
    assert "__import__(" not in program.module.code


@pytest.mark.parametrize("write", [lambda model: scripted(model), lambda model: exported(model, 2, 3, 28, 28)])
def test_a_program_that_was_cut_short_or_is_none_is_refused(write):
    data = write(Small().eval())
    assert program_kind(data) == read_program(data).kind
    for length in range(1, len(data) - 1, len(data) // 12):
        refusal(data[:length])
    compressed = io.BytesIO()
    with zipfile.ZipFile(compressed, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(40):
            file.writestr(f"a/code/{number}.py", b" " * (1 << 20))
        file.writestr("a/constants.pkl", b"", compress_type=zipfile.ZIP_STORED)
    assert "would grow to 41,943,040 bytes" in refusal(compressed.getvalue())
    assert "no zip file" in refusal(b"hello")
