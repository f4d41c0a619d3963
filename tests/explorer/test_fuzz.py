"""A few of the mutated files of benchmarks/fuzz.py: a network or one sentence, in little memory."""

import pytest

from benchmarks import fuzz
from explorer.networks.loading import architecture


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return fuzz.seeds()


@pytest.fixture(autouse=True)
def no_guess(monkeypatch) -> None:
    """A guess of the architecture takes up to five seconds a file, and has tests of its own."""
    monkeypatch.setattr(architecture, "nearest_architectures", lambda *_, **__: ())


def test_the_files_are_networks_and_names_before_they_are_mutated(files):
    assert {name: fuzz.outcome(name, data) for name, data in files.items()} == {
        name: "names" if name.endswith(("txt", "json")) else "network" for name in files}


@pytest.mark.parametrize("number", range(64))
def test_a_mutated_file_is_a_network_or_one_sentence(files, number):
    name, data = fuzz.case(files, number)
    fuzz.forget_peak()
    before = fuzz.resident("VmRSS")
    fuzz.outcome(name, data)  # it raises where an error is no sentence
    assert fuzz.resident("VmHWM") - before < fuzz.MOST_GROWTH


def test_a_mutation_is_the_same_one_each_time(files):
    assert [fuzz.case(files, number) for number in range(16)] == [fuzz.case(files, number) for number in range(16)]
