"""A person's own network in a browser: dropped in with its class names, compared, refused, and gone elsewhere."""

from __future__ import annotations

import math
import pickle
import re
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from PIL import Image
from playwright.sync_api import Locator, expect
from safetensors.torch import save_file
from torchvision.transforms import functional

from explorer import analyse
from explorer.networks.loading.load import load_file
from explorer.wording import percent
from tests.browser.stand_in import prepared, trained

NAMES = ("daisy", "<img src=x onerror=alert(1)>", "roses", "sunflowers & co", "tulips")


class Own(NamedTuple):
    """A file, and what torchvision itself makes of a photo with it: names with probabilities, best first."""

    file: Path
    top: list[tuple[str, str]]


@pytest.fixture(scope="module")
def own(examples, tmp_path_factory) -> Own:
    model = trained()
    file = tmp_path_factory.mktemp("own") / f"<b>flowers{'_of_mine' * 8}.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, file)
    return Own(file, top_of(model, examples["cat"]))


@torch.no_grad()
def top_of(model: torch.nn.Module, photo: Image.Image) -> list[tuple[str, str]]:
    """As torchvision evaluates its ResNet-18: short side 256, bilinear, the central 224 px, ImageNet's numbers."""
    shares = model(prepared(photo)).softmax(1)[0].tolist()
    best = sorted(range(5), key=lambda index: -shares[index])
    return [(NAMES[index], percent(shares[index])) for index in best]


def dialog(here) -> Locator:
    return here.page.get_by_role("dialog")


def open_file_form(here) -> None:
    here.page.get_by_role("button", name="Change the network").click()
    dialog(here).get_by_role("radio", name="Your own file").click()
    expect(dialog(here).get_by_text("Load the network")).to_be_visible()


def drop(here, file: Path) -> None:
    dialog(here).get_by_test_id("stFileUploaderDropzoneInput").first.set_input_files(file)
    expect(dialog(here).get_by_role("button", name=f"Remove {file.name}")).to_be_visible()
    # What the file holds is shown next, and moves the form: a list that opens while it moves closes again.
    here.settle(dialog(here).locator(".st-key-own_contents"))


def architecture(here, name: str) -> None:
    box = dialog(here).get_by_role("combobox", name="Architecture")
    box.fill(name)
    here.page.get_by_test_id("stSelectboxVirtualDropdown").get_by_role("option", name=name, exact=True).click()


def take(here) -> None:
    button = dialog(here).get_by_role("button", name="Load the network")
    expect(button).to_be_enabled()
    button.click()


def test_an_own_checkpoint_is_guessed_named_and_answers_as_torchvision_says_in_its_own_browser_alone(visit, own):
    here = visit().go(example="cat")
    open_file_form(here)
    drop(here, own.file)
    architecture(here, "torchvision/mobilenet_v2")
    dialog(here).get_by_role("textbox", name="or one a line").fill("\n".join(NAMES))
    take(here)
    expect(dialog(here).locator(".notice p")).to_contain_text("mobilenet_v2")
    expect(dialog(here).locator(".notice p")).to_contain_text("The last network stays.")
    dialog(here).get_by_role("button", name="Load it as torchvision/resnet18", exact=True).click()
    expect(dialog(here)).to_have_count(0)
    expect(here.find(".headline h1")).to_contain_text(own.top[0][0])
    here.settle(here.find(".answers"))
    assert here.answers()["GAP"] == own.top
    card = here.find(".sidebar .card")
    expect(card).to_contain_text("11.2 M parameters")
    expect(card).to_contain_text("512 × 7 × 7 → GAP → Linear → 5 classes")
    expect(card.locator("strong")).to_contain_text("<b>flowers")
    assert here.find("img[src=x], [onerror], .card b").count() == 0
    assert here.find(".sidebar").evaluate("sidebar => sidebar.scrollWidth <= sidebar.clientWidth")
    assert re.fullmatch("file-[0-9a-f]{12}", here.link["network"])
    assert here.notices() == []
    link = here.link
    here.change_page("Poolings")
    expect(here.find(".headline h1")).to_contain_text(own.top[0][0])
    reloaded = visit().go(**link)
    expect(reloaded.find(".headline h1")).to_contain_text(own.top[0][0])
    other = visit(sharpness=2).go(**link)  # in another browser
    assert other.notices()[0].startswith("The link is of a network from a file that was dropped in elsewhere")
    assert other.link["network"] == "efficientnet_lite0"
    expect(other.find(".sidebar .card strong")).to_have_text("EfficientNet-Lite0")


def test_an_onnx_file_is_dropped_in_with_class_names_and_nobody_is_asked_for_its_architecture(
    visit, examples, tmp_path
):
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 8, 8), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
                                torch.nn.Flatten(), torch.nn.Linear(8, 5))
    file = tmp_path / "any name.model"
    program = torch.onnx.export(model.eval(), (torch.rand(1, 3, 64, 64),), dynamo=True, verbose=False)
    file.write_bytes(program.model_proto.SerializeToString())
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"{n} {name}" for n, name in enumerate(NAMES)))
    here = visit().go(example="cat")
    open_file_form(here)
    drop(here, file)
    expect(dialog(here).get_by_text("A whole network, which needs no architecture")).to_be_visible()
    expect(dialog(here).get_by_role("combobox", name="Architecture")).to_have_count(0)
    dialog(here).get_by_test_id("stFileUploaderDropzoneInput").nth(1).set_input_files(names)
    expect(dialog(here).get_by_role("button", name="Remove names.txt")).to_be_visible()
    take(here)
    expect(dialog(here)).to_have_count(0)
    here.settle(here.find(".answers"))
    analysis = analyse(load_file(file, file.name, class_names=names), examples["cat"])
    assert [name for name, _ in here.answers()["GAP"]] == [answer.name for answer in analysis.under().top(5)]
    card = here.find(".sidebar .card")
    expect(card).to_contain_text("8 × 8 × 8 → GAP → Linear → 5 classes")
    expect(card).to_contain_text("No ONNX file says what its input must be")
    assert here.notices() == []


def test_a_file_that_runs_a_command_when_it_is_unpickled_is_refused_and_runs_nothing(visit, tmp_path):
    class Command:
        def __reduce__(self):
            return open, (str(tmp_path / "was_run"), "w")

    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Command()))
    here = visit().go(example="cat")
    before = here.find(".headline h1").text_content()
    open_file_form(here)
    drop(here, tmp_path / "evil.pth")
    architecture(here, "torchvision/resnet18")
    take(here)
    expect(dialog(here).locator(".notice p")).to_contain_text("safetensors")
    assert not (tmp_path / "was_run").exists()
    here.page.keyboard.press("Escape")
    expect(dialog(here)).to_have_count(0)
    expect(here.find(".headline h1")).to_have_text(before)
    assert here.link["network"] == "efficientnet_lite0"


def test_edited_preprocessing_changes_the_answer_and_says_so(visit, examples, network):
    here = visit().go(example="cat")
    before = here.find(".headline h1").text_content()
    here.page.get_by_role("button", name="Change the network").click()
    dialog(here).get_by_text("Preprocessing of the network in use").click()
    dialog(here).get_by_role("textbox", name="Mean of each channel").fill("0.1, 0.9, 0.5")
    dialog(here).get_by_role("button", name="Use these numbers").click()
    expect(dialog(here)).to_have_count(0)
    expect(here.find(".sidebar .card")).to_contain_text("mean 0.100 0.900 0.500")
    expect(here.find(".sidebar .card")).to_contain_text("edited")
    wants = network.preprocessing
    x = functional.center_crop(functional.resize(examples["cat"], 256, functional.InterpolationMode.BICUBIC), 224)
    x = functional.normalize(functional.to_tensor(x), [0.1, 0.9, 0.5], list(wants.std))
    share, index = network(x[None]).softmax(1)[0].max(0)
    expect(here.find(".headline h1")).to_contain_text(network.class_names[index])
    shown = float(re.search(r"(\d+)%", here.find(".headline h1").text_content())[1])
    assert math.isclose(shown, 100 * float(share), abs_tol=0.51)
    assert here.find(".headline h1").text_content() != before


def test_the_dialog_fits_a_telephone(visit):
    here = visit(width=390, height=844).go(example="cat")
    here.page.get_by_test_id("stExpandSidebarButton").click()
    open_file_form(here)
    box = dialog(here).bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert here.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_what_was_chosen_is_what_the_controls_of_the_next_page_show(visit):
    here = visit().go(example="cat", pooling="gmp", framing="squash", size="128")
    for page in ("Feature maps", "Explore"):
        here.change_page(page)
        expect(here.selectbox("Pooling")).to_have_value("GMP")
        expect(here.page.get_by_role("radio", name="squash")).to_be_checked()
