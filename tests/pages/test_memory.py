"""What is kept in memory: networks and analyses that are shared, a bound on them, and that what leaves is freed."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from explorer import Analysis, analyse
from explorer.errors import NetworkError
from explorer.framing import Preprocessing
from explorer.networks import Network
from explorer.networks.engine import Graph
from explorer.networks.graphs import export
from explorer.ui.networks.session_network import MissingFileError, network_of
from explorer.ui.session import cache
from explorer.ui.session.cache import FullError, analysis_of, bytes_in_memory, bytes_of, collect, network_named
from explorer.ui.session.jobs import Job
from explorer.ui.session.page_cache import PageCache, drawn
from explorer.ui.session.session import Session
from tests.pages.boards import is_plain_sentence
from tests.pages.memory import forget


def small(seed: int = 0, channels: int = 10) -> Network:
    """A network with 3 x 5 x 5 x channels + channels + 2 x channels + 2 weights, made as any other is."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Conv2d(3, channels, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                              nn.Linear(channels, 2))
    return Network.from_module(model, Preprocessing(size=32), name=f"small {seed}")


def bytes_by_hand(channels: int = 10) -> int:
    return 4 * (3 * 5 * 5 * channels + channels + 2 * channels + 2)


@pytest.fixture(autouse=True)
def nothing_in_memory():
    forget("a", "b", "c", "d", "e", "broken")


@pytest.fixture
def quick_collections(monkeypatch):
    """Collections that walk what a test made alone, and not all of torch."""
    gc.freeze()
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(cache, "collect", gc.collect)
    yield
    gc.unfreeze()


@pytest.fixture
def loaded(monkeypatch, quick_collections) -> list[str]:
    """Any name is a small network; which names were loaded, in their order."""
    names: list[str] = []

    def load(name: str, progress: object = None) -> Network:
        time.sleep(0.05)
        names.append(name)
        if name == "broken":
            raise NetworkError("It is broken.")
        return small(len(names))

    monkeypatch.setattr(cache, "load_network", load)
    return names


@pytest.fixture
def room_for(monkeypatch):
    """`room_for(5.5)`: as many small networks."""
    held = bytes_in_memory()
    return lambda count: monkeypatch.setattr(cache, "MOST_NETWORK_BYTES", held + int(count * bytes_by_hand()))


def held_weights(before: int) -> float:
    """How many small networks are in memory."""
    return (bytes_in_memory() - before) / bytes_by_hand()


def test_weights_that_parts_share_are_counted_once():
    network = small()
    assert network.layers.model is not None, "the whole model is a third part with the same weights"
    assert bytes_of(network) == bytes_by_hand()


def test_a_network_is_loaded_once_however_many_want_it_at_the_same_time(loaded):
    got: list[Network] = []
    threads = [threading.Thread(target=lambda: got.append(network_named("a"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loaded == ["a"]
    assert len(got) == 8
    assert len({id(network) for network in got}) == 1


def test_an_error_keeps_nothing_and_the_next_one_may_try_again(loaded):
    for _ in range(2):
        with pytest.raises(NetworkError, match="broken"):
            network_named("broken")
    assert loaded == ["broken", "broken"]


def test_what_nobody_shows_makes_room_and_what_somebody_shows_stays_the_same(loaded, room_for):
    room_for(2)
    shown, before = network_named("a"), bytes_in_memory() - bytes_by_hand()
    for name in ("b", "c", "d"):
        network_named(name)
    assert held_weights(before) <= 3
    assert network_named("a") is shown, "a page shows it, so it was never away"
    network_named("b")
    assert loaded == ["a", "b", "c", "d", "b"], "what left is loaded again when it is wanted"


def test_a_graph_that_was_written_of_a_network_counts_too(loaded):
    before = bytes_in_memory()
    network = network_named("a")
    network.engine.choose(torch.ones(1, 3, 32, 32), Graph(export(network.backbone, torch.ones(1, 3, 32, 32))),
                          measure=lambda passes, stop: [1.0] * (len(passes) - 1) + [0.0])
    network.engine(torch.ones(1, 3, 32, 32))
    assert network.engine.has_graph
    assert bytes_in_memory() - before > 2 * bytes_by_hand() * 0.9


def test_a_server_prepares_a_network_once_it_has_seen_a_photo_and_nobody_else_does(monkeypatch, examples):
    prepared: list[object] = []
    monkeypatch.setattr(cache, "prepare_in_background", lambda engine, x: prepared.append(engine))
    network = small()
    analysis_of(network, examples["cat"], "here", "crop", None)
    assert prepared == []
    monkeypatch.setattr(cache.runtime, "exists", lambda: True)
    analysis_of(network, examples["cat"], "on a server", "crop", None)
    assert prepared == [network.engine]


def test_eight_people_with_three_networks_each_stay_within_the_bound_and_one_more(loaded, room_for, examples):
    room_for(5.5)
    before, most, sessions = bytes_in_memory(), 0.0, [Session() for _ in range(8)]
    refusals: list[str] = []
    pages: list[Analysis | None] = [None] * 8
    for turn in range(3):
        for person, session in enumerate(sessions):
            try:
                if turn == 2:
                    cache.make_room()
                    network = small(100 + person)
                    cache.settle(network)
                    session.keep("file-0", network)
                else:
                    network = network_of(session, f"shared {person} {turn}")
            except FullError as error:
                refusals.append(str(error))
                continue
            pages[person] = analysis_of(network, examples["cat"], "cat", "crop", 32)  # what their page shows now
            most = max(most, held_weights(before))
    assert 5 <= most <= 6.5
    assert 0 < len(refusals) < 24
    assert all(is_plain_sentence(sentence) for sentence in refusals)
    del network
    for session in sessions:
        session.own.clear()
    pages.clear()
    cache.clear()
    assert held_weights(before) == 0


def test_an_own_network_is_reached_by_its_session_alone(loaded):
    anna, own = Session(), small()
    anna.keep("file-1", own)
    assert network_of(anna, "file-1") is own
    with pytest.raises(MissingFileError) as refused:
        network_of(Session(), "file-1")
    assert is_plain_sentence(str(refused.value))
    assert loaded == [], "a file is never looked for elsewhere"


def test_preprocessing_that_was_edited_is_not_called_assumed(loaded):
    session, own = Session(), network_of(Session(), "a")
    session.keep("file-1", replace(own, cautions=("Preprocessing: assumed to be that of a (224 px).", "It is odd.")))
    assert len(network_of(session, "file-1").cautions) == 2
    session.edited["file-1"] = replace(own.preprocessing, mean=(0.1, 0.2, 0.3))
    assert network_of(session, "file-1").cautions == ("It is odd.",)


def test_edited_preprocessing_shares_the_weights_and_counts_nothing(loaded):
    session = Session()
    own, held = network_of(session, "a"), bytes_in_memory()
    session.edited["a"] = replace(own.preprocessing, mean=(0.1, 0.2, 0.3))
    edited = network_of(session, "a")
    assert edited.backbone is own.backbone
    assert edited.preprocessing.mean == (0.1, 0.2, 0.3)
    assert network_of(Session(), "a").preprocessing == own.preprocessing
    assert bytes_in_memory() == held
    assert loaded == ["a"]


def test_an_analysis_is_made_once_for_a_network_as_it_is_fed(loaded, examples):
    network = network_named("a")
    first = analysis_of(network, examples["cat"], "one", "crop", 32)
    assert analysis_of(network, examples["cat"], "one", "crop", 32) is first
    assert analysis_of(replace(network), examples["cat"], "one", "crop", 32) is first
    darker = replace(network, preprocessing=replace(network.preprocessing, mean=(0.9, 0.9, 0.9)))
    assert analysis_of(darker, examples["cat"], "one", "crop", 32) is not first
    assert analysis_of(small(7), examples["cat"], "one", "crop", 32) is not first


def test_the_oldest_analysis_is_forgotten_with_what_was_drawn_of_it(loaded, examples):
    network = network_named("a")
    first = weakref.ref(analysis_of(network, examples["cat"], "first", "crop", 32))
    drawn(first().under(), "picture", lambda: b"x" * 1000)
    for n in range(cache.MOST_ANALYSES):
        analysis_of(network, examples["cat"], f"photo {n}", "crop", 32)
    cache.collect()
    assert first() is None


def test_a_network_that_left_takes_its_analyses_along_and_all_of_it_is_freed(loaded, room_for, examples):
    room_for(1.5)
    left = []
    for name in "abcde":
        analysis = analysis_of(network_named(name), examples["cat"], "photo", "crop", 32)
        drawn(analysis, "itself", lambda analysis=analysis: [analysis])
        left += [weakref.ref(part) for part in (analysis, analysis.network, analysis.network.layers.model,
                                                next(analysis.network.backbone.parameters()), analysis.feature_maps)]
        del analysis
    cache.clear()
    assert not any(ref() is not None for ref in left)


def test_what_is_frozen_out_of_the_collections_is_freed_all_the_same(monkeypatch):
    monkeypatch.setattr(cache, "load_network", lambda name, progress: small())
    weights = weakref.ref(next(network_named("a").backbone.parameters()))
    gc.collect()
    gc.freeze()
    try:
        cache._slot.clear()
        gc.collect()
        assert weights() is not None, "a frozen ring of references is what collect() is for"
        collect()
        assert weights() is None
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


@pytest.mark.parametrize(("text", "most"), [("", 2048), ("100", 100), ("many", 2048), ("-1", 2048)])
def test_the_bound_is_an_environment_variable_in_megabytes(text, most, monkeypatch, capsys):
    monkeypatch.setenv("POOLSCOPE_NETWORKS_MB", text)
    assert cache._most_bytes() == most * 2**20
    assert bool(capsys.readouterr().err) == (text in ("many", "-1"))


# What pages draw.


@pytest.fixture(scope="module")
def analysis(examples) -> Analysis:
    return analyse(small(), examples["cat"])


def test_what_was_drawn_is_drawn_once_for_each_outcome_and_key(analysis):
    pages, made = PageCache(10**7), []

    def make() -> bytes:
        made.append(1)
        return b"picture"

    for of, key in ((analysis, "a"), (analysis, "a"), (analysis.under(), "a"), (analysis, ("a", 1)), (analysis, "a")):
        assert pages(of, key, make) == b"picture"
    assert len(made) == 3


def test_what_was_wanted_least_recently_leaves_when_there_are_too_many_bytes(analysis):
    pages = PageCache(5_000_000)
    for key in "abcd":
        pages(analysis, key, lambda: np.zeros(200_000))  # 1.6 MB each
        pages(analysis, "a", lambda: pytest.fail("it was used just now"))
    assert pages.bytes <= 5_000_000
    assert isinstance(pages(analysis, "d", lambda: pytest.fail("it is the newest")), np.ndarray)
    assert pages(analysis, "b", lambda: "made again") == "made again"


def test_photos_inside_of_results_are_counted_and_sixteen_of_them_stay_within_the_bound(analysis):
    class Probed:
        def __init__(self) -> None:
            self.outcome = analysis.under()
            self.again = {fill: analyse(analysis.network, Image.new("RGB", (1000, 800))) for fill in ("blur", "mean")}

    pages = PageCache(20_000_000)
    for box in range(16):
        pages(analysis.under(), ("probe", box), Probed)
        assert pages.bytes <= 20_000_000
    assert pages.bytes >= 3 * 2 * 1000 * 800 * 3, "each holds two photos of 2.4 MB"


def test_a_job_never_leaves_while_it_runs_and_its_result_is_counted_once_it_is_there(analysis):
    pages, go = PageCache(1_000_000), threading.Event()
    job = pages(analysis, "job", lambda: Job(lambda progress, stop: go.wait(10) and np.zeros(200_000)))
    job.ask()
    for n in range(100):
        pages(analysis, n, lambda: b"x" * 100_000)
    assert pages(analysis, "job", lambda: pytest.fail("it runs")) is job
    go.set()
    while not job.ended:
        time.sleep(0.01)
    pages(analysis, "another", lambda: b"x" * 100_000)
    assert pages(analysis, "job", lambda: "made again") == "made again"


def test_an_analysis_is_forgotten_with_its_outcomes_and_others_stay(analysis, examples):
    other, pages = analyse(small(), examples["cat"]), PageCache(10**7)
    for of in (analysis, analysis.under(), other):
        pages(of, "key", lambda: b"old")
    pages.forget(analysis)
    assert [pages(of, "key", lambda: b"new") for of in (analysis, analysis.under(), other)] == [b"new", b"new", b"old"]
