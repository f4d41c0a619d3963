"""Imports run one way, and what must not be in the code is not in it. Read from the source, not from a run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "explorer"

# From the ground up: a module imports only what stands lower than itself, or is of its own folder. "explorer" is the
# package's front (explorer/__init__.py). A new module belongs on the lowest layer above all that it imports.
LAYERS = (
    {"errors"},
    {"arrays", "checks", "child", "levels", "progress"},
    {"images", "framing", "render", "figures", "wording"},
    {"poolings"},
    {"networks"},
    {"evidence", "cams"},
    {"analysis"},
    {"explorer"},
    {"questions", "heads"},
    {"folder"},
    {"lessons"},
    {"sections"},
    {"export"},
    {"live"},
    {"ui", "terminal"},
    {"__main__"},
)
LAYER_OF = {module: height for height, layer in enumerate(LAYERS) for module in layer}
KNOW_ARRAYS_ONLY = ("render", "figures")

FORBIDDEN = {
    r"register_\w*hook": "a shared network is never changed: cut it into parts, and ask for gradients at the parts",
    r"weights_only\s*=\s*False": "a pickle can run anything: load weights only",
    r"unsafe_allow_html": "a file's or class's name may hold HTML",
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write": "a name may hold HTML: use textContent",
}
LONGEST = {"explorer": 350, "pages": 90}


def sources(*patterns: str) -> list[Path]:
    """The files of the app, by patterns from the repository's root."""
    paths = [path for pattern in patterns for path in ROOT.glob(pattern)]
    assert paths
    return sorted(path for path in paths if "__pycache__" not in path.parts and path.is_file())


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module_of(path: Path, package: Path = PACKAGE) -> str:
    """The first name below the package: explorer/networks/head.py is of "networks", explorer/__init__.py "explorer"."""
    first = path.relative_to(package).parts[0].removesuffix(".py")
    return "explorer" if first == "__init__" else first


def modules(package: Path = PACKAGE) -> set[str]:
    return {module_of(path, package) for path in package.rglob("*.py") if "__pycache__" not in path.parts}


def imported(source: str) -> set[str]:
    """Dotted names that a source imports, wherever in it: `from a import b` gives "a.b"."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write imports from the package's root, without leading dots"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_modules(source: str, known: set[str]) -> set[str]:
    """Which modules of the package a source imports; what is not a module comes from its front, "explorer"."""
    names = set()
    for name in imported(source):
        first, _, rest = name.partition(".")
        if first == "explorer":
            below = rest.split(".")[0]
            names.add(below if below in known else "explorer")
    return names


def upward(module: str, source: str, known: set[str]) -> set[str]:
    """The imports of a module that do not run downwards."""
    others = imported_modules(source, known) - {module}
    return {other for other in others if LAYER_OF[other] >= LAYER_OF[module]}


def dotted(path: Path) -> str:
    return short(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def import_graph() -> dict[str, set[str]]:
    """Which files of the package each file imports, those for type hints alone included."""
    files = {dotted(path): path.read_text(encoding="utf-8") for path in sources("explorer/**/*.py")}
    graph = {}
    for name, source in files.items():
        targets = {target if target in files else target.rpartition(".")[0] for target in imported(source)}
        graph[name] = targets & set(files) - {name}
    return graph


def circles(graph: Mapping[str, set[str]]) -> Iterator[list[str]]:
    """Paths that come back to where they began, one for each file on a circle."""
    for start in graph:
        paths, seen = [[start]], set()
        while paths:
            path = paths.pop()
            for target in graph[path[-1]]:
                if target == start:
                    yield [*path, start]
                    paths = []
                    break
                if target not in seen:
                    seen.add(target)
                    paths.append([*path, target])


# The rules notice what they are made for.


def test_the_reader_of_imports_sees_every_kind():
    source = "import explorer.cams\nfrom explorer import render, analyse\ndef f():\n    from explorer.ui.frame import x"
    assert imported_modules(source, {"cams", "render", "ui"}) == {"cams", "render", "ui", "explorer"}
    assert imported("import streamlit as st") == {"streamlit"}
    with pytest.raises(AssertionError, match="without leading dots"):
        imported("from . import cams")


def test_an_import_upwards_or_sideways_is_noticed():
    known = set(LAYER_OF)
    assert upward("poolings", "from explorer.errors import ParameterError", known) == set()
    assert upward("poolings", "from explorer.networks.head import hold", known) == {"networks"}
    assert upward("cams", "from explorer import evidence", known) == {"evidence"}
    assert upward("networks", "from explorer.networks.head import hold", known) == set()
    assert upward("analysis", "from explorer import load_network", known) == {"explorer"}
    assert upward("export", "from explorer import analyse, render", known) == set()


def test_a_circle_of_files_is_noticed():
    assert list(circles({"a": {"b"}, "b": {"c"}, "c": set()})) == []
    assert {frozenset(path) for path in circles({"a": {"b"}, "b": {"c"}, "c": {"b"}})} == {frozenset("bc")}


@pytest.mark.parametrize("line", [
    "layer.register_forward_hook(f)", "layer.register_full_backward_hook(f)", "torch.load(f, weights_only = False)",
    "st.markdown(x, unsafe_allow_html=True)", "box.innerHTML = name", "box.insertAdjacentHTML('beforeend', name)",
])
def test_a_forbidden_line_is_noticed(line):
    assert any(re.search(pattern, line) for pattern in FORBIDDEN)


def test_a_module_without_a_layer_is_noticed(tmp_path):
    (tmp_path / "networks").mkdir()
    for name in ("__init__.py", "errors.py", "surprise.py", "networks/head.py"):
        (tmp_path / name).touch()
    assert modules(tmp_path) - set(LAYER_OF) == {"surprise"}


# The rules. Each test collects all that breaks its rule.


def test_every_module_of_the_package_has_a_layer():
    homeless = modules() - set(LAYER_OF)
    assert not homeless, (
        f"{', '.join(sorted(homeless))} has no layer yet: add it to LAYERS in tests/test_architecture.py, on the "
        "lowest layer above all that it imports."
    )
    assert {"errors", "poolings", "networks", "evidence", "cams", "analysis", "explorer"} <= modules()


def test_imports_run_downwards():
    wrong = {short(path): upward(module_of(path), path.read_text(encoding="utf-8"), modules())
             for path in sources("explorer/**/*.py")}
    assert not {path: names for path, names in wrong.items() if names}


def test_no_file_imports_itself_by_way_of_others():
    assert [" > ".join(path) for path in circles(import_graph())] == []


def test_the_package_imports_neither_app_nor_pages_nor_tests_and_streamlit_only_in_the_ui():
    for path in sources("explorer/**/*.py"):
        roots = {name.split(".")[0] for name in imported(path.read_text(encoding="utf-8"))}
        assert not roots & {"app", "pages", "tests", "benchmarks"}, short(path)
        assert "streamlit" not in roots or module_of(path) == "ui", f"{short(path)} imports streamlit"


@pytest.mark.parametrize("module", KNOW_ARRAYS_ONLY)
def test_render_and_figures_know_arrays_and_not_networks(module):
    (path,) = sources(f"explorer/{module}.py")
    assert imported_modules(path.read_text(encoding="utf-8"), modules()) <= {"arrays", "errors", module}


def test_nothing_forbidden_is_in_the_code():
    for path in sources("app.py", "pages/**/*.py", "explorer/**/*.py", "explorer/**/*.js"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for pattern, reason in FORBIDDEN.items():
                assert not re.search(pattern, line), f"{short(path)}:{number}: {reason}"


def test_no_file_is_longer_than_it_may_be():
    for path in sources("app.py", "pages/*.py", "explorer/**/*.py", "explorer/**/*.js"):
        limit = LONGEST["explorer" if PACKAGE in path.parents else "pages"]
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= limit, f"{short(path)} has {lines} lines, more than {limit}: it wants to be two files"


def test_every_file_and_folder_says_in_a_sentence_what_it_is():
    for path in sources("app.py", "pages/*.py", "explorer/**/*.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{short(path)} has no docstring"
        assert path.parent == ROOT or path.parent.name == "pages" or (path.parent / "__init__.py").exists()
