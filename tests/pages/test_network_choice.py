"""Choosing a network: cards, links, layers, a second one, files of one's own, and what goes wrong with them."""

from __future__ import annotations

import io
import pickle
import re
import weakref
from collections.abc import Callable
from dataclasses import replace
from threading import Thread

import pytest
import timm
import torch
from safetensors.torch import save
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.testing.v1 import AppTest
from torch import nn
from torchvision.models import squeezenet1_1

from explorer import analyse
from explorer.errors import NetworkError
from explorer.framing import Preprocessing
from explorer.networks import Network, load_network
from explorer.networks.loading import load
from explorer.networks.loading.checkpoint import read_checkpoint
from explorer.poolings import PoolingChoice
from explorer.ui.networks import own_file
from explorer.ui.networks.own_file import drop_in
from explorer.ui.networks.second_network import second_analysis
from explorer.ui.networks.session_network import MissingFileError, network_of
from explorer.ui.session import cache
from explorer.ui.session.choices import sizes_of
from explorer.ui.session.session import Session
from explorer.wording import percent
from tests.pages.boards import boards, control, is_plain_sentence, notices
from tests.pages.clicks import follow, pick
from tests.pages.memory import forget

HTML = "<img src=x onerror=alert(1)>"
PAGES = ("app.py", "pages/1_Feature_maps.py", "pages/2_Poolings.py", "pages/3_Activation_maps.py",
         "pages/4_Why.py", "pages/7_Method.py")
GAP, GMP, FLAT, LOOSE, GREY = SMALL = ("torchvision/resnet18", "timm/resnet50.a1_in1k", "torchvision/alexnet",
                                       "torchvision/vgg11", "torchvision/squeezenet1_1")


def plain(pool: nn.Module, classes: int = 3, channels: int = 3) -> nn.Module:
    return nn.Sequential(nn.Sequential(nn.Conv2d(channels, 6, 8, stride=8), nn.ReLU()),
                         nn.Sequential(nn.Conv2d(6, 7, 2, stride=2), nn.ReLU()), pool, nn.Flatten(),
                         nn.Linear(7, classes))


def flat() -> nn.Module:
    return nn.Sequential(nn.Sequential(nn.Conv2d(3, 6, 16, stride=16), nn.ReLU()), nn.Flatten(), nn.Linear(6 * 16, 3))


def made_up(name: str) -> Network:
    """Small networks under the names of large ones."""
    with torch.random.fork_rng():
        torch.manual_seed(len(name))
        module, wants = {
            GAP: lambda: (plain(nn.AdaptiveAvgPool2d(1)), Preprocessing(size=160, interpolation="bilinear")),
            GMP: lambda: (plain(nn.AdaptiveMaxPool2d(1), 1000), Preprocessing(size=96, std=(0.5, 0.25, 0.2))),
            FLAT: lambda: (flat(), Preprocessing(size=64, fixed=True)),
            LOOSE: lambda: (flat(), Preprocessing(size=64)),
            GREY: lambda: (plain(nn.AdaptiveAvgPool2d(1), 1, 1), Preprocessing(size=128, mean=(0.5,), std=(0.25,))),
        }[name]()
    names = {3: ["tiger cat", HTML, "tripod"], 1: ["positive"], 1000: load_network().class_names}
    classes = module[-1].out_features
    return Network.from_module(module, wants, names[classes], name=name, title=f"Small {name}", origin="made up")


@pytest.fixture(autouse=True)
def offline(monkeypatch) -> list[str]:
    """No network but the bundled one and small ones under large names; which were loaded."""
    loaded: list[str] = []

    def load(name: str, progress: Callable[[int, int], None] | None = None) -> Network:
        loaded.append(name)
        if name == "efficientnet_lite0":
            return load_network()
        if name not in SMALL:
            raise NetworkError(f"The weights of {name} are not on this computer.")
        if progress is not None:
            progress(1_000_000, 3_000_000)
        return made_up(name)

    monkeypatch.setattr(cache, "load_network", load)
    forget(*SMALL)
    return loaded


def card(page: AppTest) -> str:
    return boards(page)["examples"].one("card").text


def headline(page: AppTest) -> str:
    return boards(page)["headline"].one("h1").text


def session(page: AppTest) -> Session:
    return page.session_state["poolscope"]


# The card.


def test_the_card_of_the_bundled_network_says_what_it_is_and_what_it_wants(open_page):
    text = card(open_page())
    for part in ("EfficientNet-Lite0", "exact", "4.7 M parameters", "1,280 × 7 × 7 → GAP → Linear → 1,000 classes",
                 "softmax", "224 px from a short side of 256, bicubic, mean 0.498, std 0.502"):
        assert part in text


@pytest.mark.parametrize(("name", "parts"), [
    (GAP, ("7 × 10 × 10 → GAP → Linear → 3 classes", "160 px from a short side of 182, bilinear", "exact", "tracing",
           f"{8 * 8 * 3 * 6 + 6 + 6 * 4 * 7 + 7 + 7 * 3 + 3} parameters".replace("1357", "1.4 k"))),
    (GMP, ("7 × 6 × 6 → GMP → Linear → 1,000 classes", "std 0.500 0.250 0.200", "mean 0.485 0.456 0.406")),
    (FLAT, ("no pooling", "3 classes", "64 px")),
    (GREY, ("one class", "sigmoid", "in grey", "mean 0.500, std 0.250")),
])
def test_the_card_of_another_network_says_what_it_is(name, parts, open_page):
    page = open_page(network=name)
    assert not page.exception
    assert notices(page) == []
    for part in parts:
        assert part in card(page), part


@pytest.mark.parametrize(("link", "words"), [
    ({"size": "352"}, "1,280 × 11 × 11 →|352 px from a short side of 402 (its own size is 224 px), bicubic"),
    ({"example": "rocket", "framing": "whole"}, "1,280 × 7 × 10 →|320 × 224 px, the whole photo, bicubic"),
    ({"framing": "squash", "size": "288"}, "1,280 × 9 × 9 →|288 × 288 px, squashed (its own size is 224 px), bicubic"),
])
def test_the_card_says_how_this_photo_became_an_input_and_not_how_another_would(link, words, open_page):
    text = card(open_page(**link))
    for part in words.split("|"):
        assert part in text, text


def test_names_from_a_file_are_text(open_page):
    page = open_page(network=GAP)
    hostile = replace(made_up(GAP), name="file", title=HTML, origin=HTML, class_names=(HTML, "b", "c"))
    session(page).keep("file-0123456789ab", hostile)
    session(page).choose(network="file-0123456789ab")
    page.run()
    assert not page.exception
    assert HTML in card(page)
    for item in page.markdown:
        assert HTML not in item.value


# Links.


@pytest.mark.parametrize("page_file", PAGES)
def test_a_link_to_a_network_shows_it_on_every_page_at_its_own_size(page_file, open_page):
    page = open_page(page_file, network=GMP)
    assert not page.exception
    assert page.query_params["network"] == GMP
    assert page.query_params["size"] == "96"
    assert page.query_params["pooling"] == "gmp", "its own pooling"
    assert "Small" in card(page)


def test_the_answer_of_a_network_in_a_link_is_its_own(open_page, examples):
    first = analyse(made_up(GAP), examples["cat"]).under().top(1)[0]
    page = open_page(network=GAP, example="cat")
    assert headline(page) == f"Prediction: {first.name}, {percent(first.probability)}."


@pytest.mark.parametrize("name", ["torchvision/resnet19", "timm/nothing", "resnet18", "file-123", "file-0123456789AB",
                                  "/etc/passwd", "torchvision/../x", HTML])
def test_a_network_that_does_not_exist_is_one_sentence(name, open_page, offline):
    page = open_page(network=name)
    (sentence,) = notices(page)
    assert is_plain_sentence(sentence)
    assert sentence.startswith("The link asks for network")
    assert page.query_params["network"] == "efficientnet_lite0"
    assert set(offline) <= {"efficientnet_lite0"}


def test_a_network_that_cannot_be_loaded_is_told_and_the_last_one_stays(open_page):
    page = open_page(network=GAP, example="cat")
    before = headline(page)
    follow(page, page.query_params | {"network": "torchvision/resnet50"})
    assert notices(page) == ["The weights of torchvision/resnet50 are not on this computer.",
                             f"Small {GAP} is shown."]
    assert headline(page) == before
    assert page.query_params["network"] == GAP
    page.run()
    assert notices(page) == [], "it is said once"


def test_a_file_of_somebody_else_is_asked_for(open_page):
    page = open_page(network="file-0123456789ab", example="cat")
    assert notices(page)[0].startswith("The link is of a network from a file that was dropped in elsewhere")
    assert "EfficientNet-Lite0" in card(page)


def test_a_class_and_a_place_of_a_network_that_is_not_here_say_nothing_about_another(open_page):
    of_another = {"network": "file-0123456789ab", "class": "1", "rival": "3", "region": "1,1,2,2"}
    page = open_page(PAGES[4], example="cat", **of_another)
    answer = open_page(PAGES[4], example="cat")
    assert page.query_params == answer.query_params


def test_an_own_network_that_had_to_leave_is_asked_for_again(open_page):
    page = open_page(network=GAP)
    here = session(page)
    here.keep("file-0123456789ab", made_up(GMP))
    here.choose(network="file-0123456789ab")
    page.run()
    assert "GMP" in card(page)
    here.choose(network=GAP)
    for n in range(2):
        here.keep(f"file-00000000000{n}", made_up(GMP))
    here.choose(network="file-0123456789ab")
    page.run()
    assert notices(page)[0] == ("Your network left the memory, which keeps the last two of your files: drop its file "
                                "in again.")
    assert not page.exception


def test_a_session_keeps_two_own_files_and_of_them_those_in_use():
    here, made = Session(), made_up(GMP)
    here.keep("file-a", made)
    here.choose(network="file-a")
    here.keep("file-b", made)
    here.keep("file-c", made)
    assert {name for name, network in here.own.items() if network} == {"file-a", "file-c"}


def test_what_was_chosen_for_a_network_comes_back_with_it(open_page):
    page = open_page("pages/1_Feature_maps.py", network=GAP, layer="0", channel="5", size="256", example="cat",
                     pooling="gem:p=4", **{"class": "2"})
    for name in (GMP, GAP):
        session(page).choose(network=name)
        page.run()
        assert notices(page) == []
    chosen = session(page).choices
    assert (chosen.layer, chosen.channel, chosen.size, chosen.class_index) == ("0", 5, 256, 2)
    assert chosen.pooling == PoolingChoice.parse("gem:p=4")
    session(page).choose(network=GMP)
    session(page).show_example("coffee")
    session(page).choose(network=GAP)
    assert session(page).choices.class_index is None, "another photo has another answer"
    assert session(page).choices.channel == 5


def test_a_network_that_fails_to_load_takes_nothing_along(open_page):
    page = open_page(network=GMP, example="cat", **{"class": "7"})
    session(page).choose(network="torchvision/resnet50")
    page.run()
    assert session(page).choices.network == GMP
    assert session(page).choices.class_index == 7
    assert "torchvision/resnet50" not in session(page).by_network


def test_what_another_network_does_not_have_is_let_go_without_a_word(open_page, network):
    page = open_page("pages/1_Feature_maps.py", channel="900", region="6,6,6,6", size="256", example="cat",
                     **{"class": "282"})
    assert network.class_names[282] == "tiger cat"
    session(page).choose(network=GAP)
    page.run()
    assert notices(page) == []
    chosen = session(page).choices
    assert (chosen.size, chosen.region, chosen.layer) == (160, None, "")
    assert chosen.channel is None or chosen.channel < 7
    assert page.query_params["class"] == "0", "the class of the same name"


def test_what_a_link_asks_for_and_the_network_does_not_have_is_a_sentence_each(open_page):
    page = open_page(network=GAP, pooling="attention_pool", size="1000", layer="layer9")
    assert len(notices(page)) == 3
    for name, sentence in zip(("size", "layer", "pooling"), notices(page), strict=True):
        assert sentence.startswith(f"The link asks for {name} “")
        assert is_plain_sentence(sentence)
    assert page.query_params["size"] == "160"
    assert page.query_params["pooling"] == "gap"
    assert "layer" not in page.query_params


def test_a_what_if_in_a_link_stays_a_what_if(open_page):
    page = open_page(network=GMP, pooling="gem:p=4")
    assert page.query_params["pooling"] == "gem:p=4"


# Sizes and layers.


@pytest.mark.parametrize(("wants", "sizes"), [
    (Preprocessing(), tuple(range(96, 641, 32))), (Preprocessing(size=299), (*range(96, 289, 32), 299,
                                                                             *range(320, 641, 32))),
    (Preprocessing(size=64, stride=8), tuple(range(64, 641, 32))), (Preprocessing(size=384, fixed=True), (384,)),
    (Preprocessing(size=224, stride=14), (126, 168, 210, 224, *range(252, 641, 42))),
    (Preprocessing(size=1024, stride=64), (*range(128, 641, 64), 1024)),
])
def test_the_sizes_to_choose_from_are_multiples_of_the_stride_and_the_own_one(wants, sizes):
    assert sizes_of(wants) == sizes


def test_a_network_of_one_size_has_no_slider_and_no_whole_photo(open_page):
    page = open_page(network=FLAT)
    assert not [item for item in page.get("select_slider") if (item.key or "").startswith("size")]
    assert boards(page)["fixed_size"].text == "Its input is 64 × 64 px and no other."
    assert list(control(page, "framing").options) == ["crop", "squash"]


def test_a_size_that_the_network_refuses_only_when_it_is_run_is_a_sentence(open_page):
    page = open_page(network=LOOSE, size="128")
    assert not page.exception
    assert all(is_plain_sentence(sentence) for sentence in notices(page))
    assert page.query_params["network"] == LOOSE
    assert page.query_params["size"] == "64"


def test_a_layer_is_chosen_by_its_title_and_is_in_the_link(open_page):
    page = open_page(network=GAP)
    layers = control(page, "layer")
    assert layers.options[0] == "final feature maps"
    assert "0 · 6 × 20 × 20" in layers.options
    layers.select("0").run()
    assert not page.exception
    assert page.query_params["layer"] == "0"
    assert "maps of 0, 6 × 20 × 20 → … → GAP → Linear → 3 classes" in card(page)
    control(page, "layer").select("").run()
    assert "layer" not in page.query_params


@pytest.mark.parametrize("page_file", [PAGES[0], PAGES[2], PAGES[-1]])
def test_a_layer_in_a_link_is_looked_at_on_every_page(page_file, open_page):
    page = open_page(page_file, network=GAP, layer="0")
    assert not page.exception
    assert "6 × 20 × 20" in card(page)


# A second network.


def test_a_second_network_sees_the_same_photo_and_is_let_go_of(open_page, examples):
    page = open_page(network=GAP, against=GMP, example="cat")
    assert not page.exception
    assert boards(page)["second_network"].one("strong").text == f"Small {GMP}"
    second = second_analysis(session(page))
    expected = analyse(made_up(GMP), examples["cat"])
    torch.testing.assert_close(second.under().logits, expected.under().logits)
    assert second.input.shape == (1, 3, 96, 96), "its own size where the first is shown at its own"
    pick(page, "second_network", "clear")
    assert "against" not in page.query_params
    assert second_analysis(session(page)) is None


def test_a_size_that_was_chosen_holds_for_both_networks(open_page):
    page = open_page(network=GAP, against=GMP, size="256")
    assert second_analysis(session(page)).input.shape == (1, 3, 256, 256)
    page = open_page(network=GAP, against=FLAT, size="256", framing="squash")
    second = second_analysis(session(page))
    assert (second.input.shape[-1], second.framing.kind) == (64, "squash")


def test_a_second_network_that_cannot_be_had_is_told_and_let_go_of(open_page):
    page = open_page(network=GAP, against="torchvision/resnet50")
    assert notices(page) == ["The weights of torchvision/resnet50 are not on this computer.",
                             "No other network is beside it."]
    assert "against" not in page.query_params
    assert page.query_params["network"] == GAP


# The dialog.


def open_dialog(page: AppTest, way: str = "") -> AppTest:
    page.button(key="change_network").click().run()
    if way:
        page.button_group(key="picker_way").set_value(way).run()
    return page


def test_the_dialog_lists_networks_and_a_click_takes_one(open_page):
    page = open_dialog(open_page(example="cat"), "torchvision")
    names = boards(page)["picker_names"].texts("name")
    assert len(names) == 80
    page.text_input(key="search_torchvision").set_value("resnet 18").run()
    assert boards(page)["picker_names"].texts("name")[0] == GAP
    pick(page, "picker_names", GAP)
    assert not page.exception
    assert page.query_params["network"] == GAP
    assert "picker_names" not in boards(page), "the dialog is closed"


def test_timm_is_searched_and_at_most_thirty_are_listed(open_page):
    page = open_dialog(open_page(), "timm")
    page.text_input(key="search_timm").set_value("resnet").run()
    names = boards(page)["picker_names"].texts("name")
    assert len(names) == 30
    assert all("resnet" in name for name in names)
    page.text_input(key="search_timm").set_value("zzzz").run()
    assert boards(page)["picker_count"].text.startswith("No network has such a name.")


def test_what_is_on_this_machine_is_marked(open_page, monkeypatch):
    monkeypatch.setattr("explorer.ui.networks.picker.cached_names", lambda: ["torchvision/resnet18"])
    page = open_dialog(open_page(), "torchvision")
    marked = [row for row in boards(page)["picker_names"].all("network") if "on this machine" in row.text]
    assert [row.pick for row in marked] == ["torchvision/resnet18"]


def test_a_network_that_cannot_be_loaded_leaves_the_dialog_open_with_a_sentence(open_page):
    page = open_dialog(open_page(), "torchvision")
    pick(page, "picker_names", "torchvision/resnet50")
    assert boards(page)["picker_wrong"].texts("p") == [
        "The weights of torchvision/resnet50 are not on this computer.", "The last network stays."]
    assert page.query_params["network"] == "efficientnet_lite0"


def test_the_second_network_is_chosen_in_the_same_dialog(open_page):
    page = open_page(network=GAP)
    page.button(key="compare_network").click().run()
    page.button_group(key="picker_way").set_value("timm").run()
    page.text_input(key="search_timm").set_value(GMP.partition("/")[2]).run()
    pick(page, "picker_names", GMP)
    assert page.query_params["against"] == GMP
    assert page.query_params["network"] == GAP


# Preprocessing.


def edit(page: AppTest, name: str, **numbers: object) -> AppTest:
    open_dialog(page)
    for field, value in numbers.items():
        kind = page.text_input if field in ("mean", "std") else page.number_input
        kind(key=f"edit_{name}_{field}").set_value(value)
    page.run()
    return page


def test_edited_preprocessing_is_what_the_network_is_fed_for_this_session_alone(open_page, examples):
    page = edit(open_page(network=GAP, example="cat"), GAP, mean="0.1 0.2; 0.9", size=96)
    page.button(key="use_preprocessing").click().run()
    expected = replace(made_up(GAP).preprocessing, mean=(0.1, 0.2, 0.9), size=96)
    first = analyse(replace(made_up(GAP), preprocessing=expected), examples["cat"]).under().top(1)[0]
    assert headline(page) == f"Prediction: {first.name}, {percent(first.probability)}."
    assert "mean 0.100 0.200 0.900" in card(page)
    assert "edited" in card(page)
    assert page.query_params["size"] == "96"
    assert "edited" not in card(open_page(network=GAP, example="cat"))
    open_dialog(page).button(key="own_preprocessing").click().run()
    assert "mean 0.485 0.456 0.406" in card(page)
    assert "edited" not in card(page)


@pytest.mark.parametrize("numbers", [{"mean": "a b c"}, {"mean": "1, 2"}, {"std": "0 0 0"}, {"std": ""}, {"size": 0},
                                     {"ratio": 0.0}, {"mean": HTML}])
def test_numbers_that_cannot_be_are_the_sentence_of_preprocessing_itself(numbers, open_page):
    page = edit(open_page(network=GAP), GAP, **numbers)
    assert not page.exception
    assert boards(page)["preprocessing_wrong"].text.startswith("The preprocessing's ")
    assert not [item for item in page.button if item.key == "use_preprocessing"]


@pytest.mark.parametrize("numbers", [{"mean": "0.5", "std": "0.5"}, {"size": 4}])
def test_numbers_that_the_network_does_not_take_are_a_sentence(numbers, open_page):
    page = edit(open_page(network=GAP), GAP, **numbers)
    page.button(key="use_preprocessing").click().run()
    assert not page.exception
    assert is_plain_sentence(boards(page)["preprocessing_wrong"].text)
    assert "edited" not in card(page)


# A file of one's own.


@pytest.fixture(scope="module")
def squeezenet() -> tuple[bytes, nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = squeezenet1_1(num_classes=4).eval()
    return save({name: tensor.contiguous() for name, tensor in model.state_dict().items()}), model


def test_a_file_becomes_a_network_of_this_session(squeezenet, examples):
    data, model = squeezenet
    current = Session()
    called = drop_in(current, data, "mine.safetensors", architecture="torchvision/squeezenet1_1",
                     class_names=[HTML, "b", "c", "d"], activation="sigmoid")
    assert re.fullmatch("file-[0-9a-f]{12}", called)
    network = network_of(current, called)
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(network(x), model(x), rtol=1e-4, atol=1e-4)
    assert network.class_names[0] == HTML
    assert network.activation == "sigmoid"
    with pytest.raises(MissingFileError):
        network_of(Session(), called)  # nobody else reaches it
    weights = weakref.ref(network.backbone)
    del network, current
    cache.collect()
    assert weights() is None, "it goes with its session"


def test_progress_of_another_thread_is_drawn_on_the_page(open_page, monkeypatch):
    """huggingface_hub reports from a thread of its own where it fetches with hf_xet."""
    sessions = []

    def load(name: str, progress: Callable[[int, int], None] | None = None) -> Network:
        def report() -> None:
            progress(1_000_000, 3_000_000)
            sessions.append(get_script_run_ctx().session_id)

        thread = Thread(target=report)
        thread.start()
        thread.join()
        return made_up(name)

    page = open_dialog(open_page(), "torchvision")
    monkeypatch.setattr(cache, "load_network", load)
    pick(page, "picker_names", GAP)
    assert not page.exception
    assert sessions == ["test session id"]
    assert page.query_params["network"] == GAP


class Command:
    def __reduce__(self):
        return pytest.fail, ("the file was run",)


@pytest.mark.parametrize("data", [
    b"", b"not a checkpoint", pickle.dumps(Command()), b"PK\x03\x04" + bytes(100),
    (10 * 2**30).to_bytes(8, "little") + b"{}",
    b'\x5a\x00\x00\x00\x00\x00\x00\x00{"a":{"dtype":"F32","shape":[2684354560],"data_offsets":[0,10737418240]}}      '
    b"                      "], ids=["empty", "text", "a command", "no archive", "a long header", "ten gigabytes"])
def test_a_hostile_file_is_refused_in_a_sentence_and_nothing_is_changed(data):
    current = Session()
    before = cache.bytes_in_memory()
    with pytest.raises(NetworkError) as refused:
        drop_in(current, data, f"{HTML}.pth", architecture="torchvision/squeezenet1_1")
    assert "\n" not in str(refused.value)
    assert cache.bytes_in_memory() <= before
    assert current.own == {}


def test_whatever_breaks_inside_is_a_sentence_too(monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise RecursionError("deep")

    monkeypatch.setattr(own_file, "load_file", fail)
    with pytest.raises(NetworkError, match="RecursionError"):
        drop_in(Session(), b"x", "x.pth")


def test_the_form_says_that_nothing_leaves_the_server_and_waits_for_a_file(open_page):
    page = open_dialog(open_page(), "file")
    assert not page.exception
    assert "Nothing leaves this server" in boards(page)["own_note"].text
    assert page.button(key="own_take").disabled
    page.selectbox(key="own_architecture").select("timm/resnet10t.c3_in1k").run()
    assert page.number_input(key="own_timm/resnet10t.c3_in1k_size").value == 224, "evaluated at that size"
    assert page.selectbox(key="own_timm/resnet10t.c3_in1k_interpolation").value == "bicubic"


def test_a_file_is_dropped_into_the_form_and_a_wrong_architecture_is_mended_by_one_click(squeezenet, open_page):
    page = open_dialog(open_page(example="cat"), "file")
    page.file_uploader(key="own_file").set_value(("mine.safetensors", squeezenet[0], "application/octet-stream"))
    page.selectbox(key="own_architecture").select("torchvision/resnet18")
    page.run()
    page.number_input(key="own_torchvision/resnet18_size").set_value(192)
    page.text_input(key="own_torchvision/resnet18_mean").set_value("0.5, 0.5, 0.5")
    page.button(key="own_take").click().run()
    assert "not of the architecture torchvision/resnet18" in boards(page)["own_wrong"].text
    page.text_area(key="own_names").set_value("ant\nbee\ncat\ndog").run()
    assert "not of the architecture torchvision/resnet18" in boards(page)["own_wrong"].text, "with names too"
    (near,) = [item for item in page.button if item.key == "own_near_torchvision/squeezenet1_1"]
    near.click().run()
    assert not page.exception
    assert page.query_params["network"].startswith("file-")
    assert "4 classes" in card(page)
    assert "mine.safetensors" in card(page)
    assert "192 px" in card(page), "what was typed holds for the architecture that was proposed"
    assert "mean 0.500" in card(page)


def test_a_dropped_file_says_what_it_holds_and_one_click_loads_it(open_page):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = squeezenet1_1(num_classes=3).eval()
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "classes": ["ant", HTML, "cat"]}, file)
    page = open_dialog(open_page(example="cat"), "file")
    page.file_uploader(key="own_file").set_value(("epoch.37", file.getvalue(), "application/octet-stream")).run()
    assert page.selectbox(key="own_architecture").value == "torchvision/squeezenet1_1"
    contents = boards(page)["own_contents"].text
    assert "torchvision/squeezenet1_1, 3 classes, with names: ant" in contents
    assert "Preprocessing: assumed" in contents
    page.button(key="own_take").click().run()
    assert not page.exception
    assert "3 classes" in card(page)
    assert "Preprocessing: assumed" in card(page)


def test_a_dropped_file_leaves_a_chosen_architecture_and_what_is_none_is_a_sentence(squeezenet, open_page):
    page = open_dialog(open_page(example="cat"), "file")
    page.selectbox(key="own_architecture").select("torchvision/resnet18").run()
    page.file_uploader(key="own_file").set_value(("mine", squeezenet[0], "application/octet-stream")).run()
    assert page.selectbox(key="own_architecture").value == "torchvision/resnet18"
    assert "squeezenet1_1" in boards(page)["own_contents"].text
    page.file_uploader(key="own_file").set_value(("mine.zip", b"no checkpoint", "application/octet-stream")).run()
    assert not page.exception
    assert boards(page)["own_contents"].text.startswith("mine.zip is neither safetensors nor")


def mobilenet() -> bytes:
    torch.manual_seed(3)
    return save(timm.create_model("mobilenetv3_small_075", num_classes=3).state_dict())


def test_a_sibling_with_the_same_tensors_is_one_click_beside_the_network(open_page):
    page = open_dialog(open_page(example="cat"), "file")
    page.file_uploader(key="own_file").set_value(("mine", mobilenet(), "application/octet-stream")).run()
    page.button(key="own_take").click().run()
    own = page.query_params["network"]
    (button,) = [node for node in boards(page)["examples"].all("button") if "Compare with" in node.text]
    pick(page, "examples", button.pick)
    assert not page.exception
    assert page.query_params["network"] == own
    assert page.query_params["against"].startswith(own)
    assert "mine as timm/" in boards(page)["second_network"].text
    second = second_analysis(session(page))
    names = {name.rpartition("/")[2].partition(".")[0]
             for name in (*second.network.siblings, second.network.origin.split()[-1])}
    assert names == {"mobilenetv3_small_075", "tf_mobilenetv3_small_075"}
    page.run()
    follow(page, {name: page.query_params[name] for name in ("network", "against", "example")})
    assert not page.exception
    assert "mine as timm/" in boards(page)["second_network"].text


def onnx_file() -> bytes:
    """Two outputs, the features first, at 32 px."""
    torch.manual_seed(0)

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU())
            self.head = nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            pooled = self.body(x).mean((2, 3))
            return pooled, self.head(pooled)

    program = torch.onnx.export(Both().eval(), (torch.rand(1, 3, 32, 32),), dynamo=True, verbose=False,
                                output_names=["pooled", "scores"])
    return program.model_proto.SerializeToString()


def test_an_onnx_file_is_asked_for_no_architecture_but_for_its_output(open_page):
    page = open_dialog(open_page(example="cat"), "file")
    page.file_uploader(key="own_file").set_value(("any.bin", onnx_file(), "application/octet-stream")).run()
    assert not page.exception
    keys = {item.key for kind in ("selectbox", "number_input") for item in page.get(kind)}
    assert not keys & {"own_architecture", "own_head_activation"}
    assert "A whole network" in boards(page)["own_contents"].text
    (size,) = (item for item in page.number_input if item.key.startswith("own_") and item.key.endswith("_size"))
    assert size.value == 32
    assert page.selectbox(key="own_output").options == ["pooled", "scores"]
    page.selectbox(key="own_output").select("scores").run()
    page.button(key="own_take").click().run()
    assert not page.exception
    assert "3 classes" in card(page)


def test_a_dropped_checkpoint_is_read_once_and_kept_no_longer_than_its_form(squeezenet, open_page, monkeypatch):
    reads = []
    monkeypatch.setattr(load, "read_checkpoint", lambda *parts: reads.append(parts) or read_checkpoint(*parts))
    page = open_dialog(open_page(example="cat"), "file")
    page.file_uploader(key="own_file").set_value(("mine", squeezenet[0], "application/octet-stream")).run()
    page.button(key="own_take").click().run()
    assert "4 classes" in card(page)
    assert len(reads) == 1
    assert "own_seen" not in page.session_state
