"""The shelf: what is shared, what is a person's own, who leaves when room is short, and that it is really gone."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from explorer import Analysis, analyse
from explorer.errors import NetworkError
from explorer.framing import Preprocessing
from explorer.networks import Network
from explorer.ui.session.cache import collect
from explorer.ui.session.network_cache import FullError, LeftError, NetworkCache, NetworkRequest, bytes_of
from tests.pages.boards import is_plain_sentence


def small(seed: int = 0, channels: int = 10) -> Network:
    """A network with 3 x 5 x 5 x channels + channels + 2 x channels + 2 weights, made as any other is."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Conv2d(3, channels, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                              nn.Linear(channels, 2))
    return Network.from_module(model, Preprocessing(size=32), name=f"small {seed}")


def bytes_by_hand(channels: int = 10) -> int:
    return 4 * (3 * 5 * 5 * channels + channels + 2 * channels + 2)


class Source:
    """Loads a small network of any name and counts how often."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.wait = 0.0

    def __call__(self, name: str, progress: object) -> Network:
        self.loaded.append(name)
        time.sleep(self.wait)
        if name == "broken":
            raise NetworkError("It is broken.")
        return small(len(self.loaded))


@pytest.fixture
def source() -> Source:
    return Source()


def shelf_for(source: Callable, networks: float, **more: object) -> NetworkCache:
    return NetworkCache(source, int(networks * bytes_by_hand()), **more)


def test_weights_that_parts_share_are_counted_once():
    network = small()
    assert network.layers.model is not None, "the whole model is a third part with the same weights"
    assert bytes_of(network) == bytes_by_hand()


def test_a_network_is_loaded_once_however_many_ask_at_the_same_time(source):
    shelf, got = shelf_for(source, 3), []
    source.wait = 0.2
    threads = [threading.Thread(target=lambda: got.append(shelf.network(NetworkRequest("a")))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert source.loaded == ["a"]
    assert len(got) == 8
    assert len({id(each) for each in got}) == 1


def test_the_one_that_was_not_asked_for_longest_leaves_when_the_weights_exceed_the_bound(source):
    shelf = shelf_for(source, 3.5)
    for name in ("a", "b", "c", "a", "d"):
        shelf.network(NetworkRequest(name))
    assert [name in shelf for name in map(NetworkRequest, "abcd")] == [True, False, True, True]
    assert shelf.bytes == 3 * bytes_by_hand()
    shelf.network(NetworkRequest("b"))
    assert source.loaded == ["a", "b", "c", "d", "b"], "what left is loaded again when it is asked for"


def test_one_network_may_always_be_there_however_large(source):
    shelf = shelf_for(source, 0.1)
    assert shelf.network(NetworkRequest("a")).name == "small 1"
    assert NetworkRequest("a") in shelf
    shelf.network(NetworkRequest("b"))
    assert [NetworkRequest(name) in shelf for name in "ab"] == [False, True]


def test_what_stays_never_leaves_and_a_file_of_its_name_does(source):
    shelf = shelf_for(source, 0.1, stays=frozenset({"a"}))
    shelf.put(NetworkRequest("a", "somebody"), small())
    for name in "abc":
        shelf.network(NetworkRequest(name))
    assert [NetworkRequest(name) in shelf for name in "abc"] == [True, False, True]
    assert NetworkRequest("a", "somebody") not in shelf


def test_an_own_network_is_reached_by_its_owner_alone_and_leaves_with_them(source):
    shelf, own = shelf_for(source, 9), small()
    shelf.put(NetworkRequest("file-1", "anna"), own)
    assert shelf.network(NetworkRequest("file-1", "anna")) is own
    with pytest.raises(LeftError):
        shelf.network(NetworkRequest("file-1", "berta"))
    shelf.let_go("berta")
    assert shelf.network(NetworkRequest("file-1", "anna")) is own
    shelf.let_go("anna")
    with pytest.raises(LeftError):
        shelf.network(NetworkRequest("file-1", "anna"))
    assert source.loaded == [], "a file is never looked for elsewhere"


def test_an_error_is_everybodys_own_and_the_next_one_may_try_again(source):
    shelf = shelf_for(source, 9)
    for _ in range(2):
        with pytest.raises(NetworkError, match="broken"):
            shelf.network(NetworkRequest("broken"))
    assert source.loaded == ["broken", "broken"]
    assert shelf.bytes == 0


def test_edited_preprocessing_shares_the_weights_and_counts_nothing(source):
    shelf = shelf_for(source, 9)
    own = shelf.network(NetworkRequest("a"))
    edited = shelf.network(NetworkRequest("a", preprocessing=replace(own.preprocessing, mean=(0.1, 0.2, 0.3))))
    assert edited.backbone is own.backbone
    assert edited.preprocessing.mean == (0.1, 0.2, 0.3)
    assert shelf.network(NetworkRequest("a")).preprocessing == own.preprocessing
    assert shelf.bytes == bytes_by_hand()
    assert source.loaded == ["a"]


def analysed(shelf: NetworkCache, examples: dict, name: str, of: str = "photo") -> Analysis:
    wanted = NetworkRequest(name)
    return shelf.analysis(wanted, of, lambda: analyse(shelf.network(wanted), examples["cat"]))


def test_an_analysis_is_made_once_and_the_oldest_is_forgotten(source, examples):
    shelf = shelf_for(source, 9, most_analyses=2)
    first = analysed(shelf, examples, "a", "one")
    assert analysed(shelf, examples, "a", "one") is first
    analysed(shelf, examples, "a", "two")
    analysed(shelf, examples, "a", "one")
    analysed(shelf, examples, "b", "three")
    assert analysed(shelf, examples, "a", "one") is first
    assert analysed(shelf, examples, "a", "two") is not None
    assert analysed(shelf, examples, "b", "three").network is shelf.network(NetworkRequest("b"))


def test_a_network_that_left_takes_its_analyses_along_and_all_of_it_is_freed(source, examples):
    shelf = shelf_for(source, 1.5)
    left = []
    for name in "abcde":
        made = analysed(shelf, examples, name)
        left += [weakref.ref(each) for each in (made, made.network, made.network.layers.model,
                                                next(made.network.backbone.parameters()), made.feature_maps)]
        del made
    collect()
    alive = [ref() is not None for ref in left]
    assert alive == [False] * 20 + [True] * 5
    del shelf
    collect()
    assert not any(ref() is not None for ref in left)


def test_what_is_frozen_out_of_the_collections_is_freed_all_the_same(source, examples):
    shelf = shelf_for(source, 1.5)
    weights = weakref.ref(next(analysed(shelf, examples, "a").network.backbone.parameters()))
    gc.collect()
    gc.freeze()
    try:
        shelf.network(NetworkRequest("b"))
        gc.collect()
        assert weights() is not None, "a frozen ring of references is what collect() is for"
        collect()
        assert weights() is None
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def test_an_analysis_of_a_network_that_left_meanwhile_is_given_and_not_kept(source, examples):
    shelf, wanted = shelf_for(source, 1.5), NetworkRequest("a")

    def make() -> Analysis:
        made = analyse(shelf.network(wanted), examples["cat"])
        shelf.network(NetworkRequest("b"))
        return made

    made = shelf.analysis(wanted, "photo", make)
    assert made.network.name == "small 1"
    again = analysed(shelf, examples, "a")
    assert again is not made
    assert again.network is not made.network
    torch.testing.assert_close(made.feature_maps.shape, again.feature_maps.shape)


def test_what_open_pages_show_is_counted_and_when_it_exceeds_the_bound_nothing_more_comes_in(source):
    shelf, shown = shelf_for(source, 2), []
    for name in "abcde":
        shelf.must_have_room(collect)
        shown.append(shelf.network(NetworkRequest(name)))
    assert shelf.held == 3 * bytes_by_hand(), "two are here, three are only looked at"
    with pytest.raises(FullError) as refused:
        shelf.must_have_room(collect)
    assert is_plain_sentence(str(refused.value))
    assert NetworkRequest("e") in shelf
    del shown[:]
    shelf.must_have_room(collect)
    assert shelf.held == 0


def test_eight_people_with_three_networks_each_stay_within_the_bound(source, examples):
    shelf, most, wrong = shelf_for(source, 5.5), [], []
    weights: list[weakref.ref] = []

    def use(owner: int) -> None:
        try:
            for turn in range(3):
                own = NetworkRequest(f"file-{turn}", f"person {owner}")
                if turn == 2:
                    shelf.put(own, small(owner))
                wanted = own if turn == 2 else NetworkRequest(f"shared {owner} {turn}")
                made = shelf.analysis(wanted, "photo", lambda wanted=wanted: analyse(shelf.network(wanted),
                                                                                     examples["cat"]))
                weights.append(weakref.ref(next(made.network.backbone.parameters())))
                most.append(shelf.bytes)
        except LeftError:
            pass  # others needed the room at once
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=use, args=(owner,)) for owner in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert max(most) <= 5.5 * bytes_by_hand()
    collect()
    assert sum(ref() is not None for ref in weights) <= 5
    assert len(weights) >= 20
