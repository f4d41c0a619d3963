"""Networks whose numbers are values, heads that cannot be decomposed, and inputs in grey or with blue first."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from explorer import analyse, load_network
from explorer.errors import NetworkError, ParameterError
from explorer.export.recipe import recipe, recipe_json
from explorer.export.report import report_html
from explorer.framing import Preprocessing, frame
from explorer.networks import Network
from explorer.questions.stability import stability
from explorer.sections.stability import stability_section
from explorer.sections.summary import as_text, summary
from explorer.terminal.overview import account, describe
from explorer.wording import Value, percent
from tests.explorer.own_models import CHANNELS, CLASSES, Small, network_of, seeded
from tests.explorer.why_command import ran, started

PHOTO = Image.effect_noise((90, 90), 90).convert("RGB")


def _age() -> nn.Module:
    model = seeded(lambda: Small(head=nn.Linear(CHANNELS, 1)))
    nn.init.constant_(model.fc.bias, 58.0)
    return model


def test_a_value_is_written_as_it_is_and_a_share_in_percent():
    assert (percent(Value(57.304)), percent(0.573)) == ("57.30", "57%")


def test_a_regression_answers_with_its_value_and_never_in_percent():
    network = network_of(_age(), class_names=["age"], activation="none")
    assert network.cautions == ()
    outcome = analyse(network, PHOTO).under()
    with torch.no_grad():
        expected = float(network.layers.model(outcome.analysis.input))
    answer = outcome.top(1)[0]
    assert answer.probability == answer.logit == pytest.approx(expected, abs=1e-4)
    text = as_text(summary(outcome, 0, None))
    assert f"age ({expected:.2f})" in text
    assert "%" not in text.partition("positions")[0]
    lines = account(outcome, 0, False)
    assert f"value {expected:.4g}" in lines[0]
    assert "probability" not in lines[0]
    assert '"activation": "none"' in recipe_json(recipe(outcome, 0))


def test_a_value_below_zero_is_not_a_class_too_rare_to_have_bars():
    model = _age()
    nn.init.constant_(model.fc.bias, -58.0)
    outcome = analyse(network_of(model, class_names=["age"], activation="none"), PHOTO).under()
    assert outcome.top(1)[0].probability < 0
    assert "no bars" not in str(stability_section(stability([outcome], 0)).data())


def test_a_single_output_of_which_nobody_says_what_it_is_gets_a_caution():
    network = network_of(_age())
    assert "regression" in network.cautions[0]
    assert network_of(_age(), activation="sigmoid").cautions == ()
    assert network_of(seeded(Small)).cautions == ()
    lines = describe(analyse(network, PHOTO).under(), "a.jpg")
    assert any(line.startswith("Caution: It has a single output") for line in lines)


class Shares(nn.Module):
    """Each number's share of their sum: the same for a vector of any length, so no way from zero leads to it."""

    def forward(self, pooled: Tensor) -> Tensor:
        return pooled.abs() / pooled.abs().sum(1, keepdim=True)


def test_a_head_whose_residual_is_more_than_a_tenth_of_the_logit_gives_no_evidence_but_cams():
    network = network_of(seeded(lambda: Small(head=nn.Sequential(Shares(), nn.Linear(CHANNELS, CLASSES)))))
    assert network.pooling is not None
    analysis = analyse(network, PHOTO)
    assert not analysis.has_evidence
    assert "cannot be decomposed" in analysis.no_evidence_reason
    outcome = analysis.under()
    shown = outcome.class_map(0)
    assert (shown.kind, shown.unit) == ("Grad-CAM", "")
    with torch.no_grad():
        torch.testing.assert_close(outcome.logits, network.layers.model(analysis.input)[0])
    assert "positive evidence" not in as_text(summary(outcome, 0, 1))


def test_a_head_that_is_integrated_well_keeps_its_evidence():
    network = network_of(seeded(lambda: Small(head=nn.Sequential(nn.Linear(CHANNELS, 6), nn.ReLU(),
                                                                 nn.Linear(6, CLASSES)))))
    analysis = analyse(network, PHOTO)
    assert analysis.has_evidence
    assert analysis.no_evidence_reason == ""


@pytest.mark.parametrize(("name", "make"), [
    ("timm/resnet18", lambda: timm.create_model("resnet18", in_chans=1, num_classes=4)),
    ("resnet18", lambda: _grey_torchvision()),
])
def test_a_checkpoint_of_grey_images_is_taken(name, make, tmp_path):
    model = seeded(make)
    torch.save(model.state_dict(), tmp_path / "grey.pth")
    network = load_network(tmp_path / "grey.pth", architecture=name)
    assert network.preprocessing.channels == 1
    assert network.preprocessing.mean == pytest.approx(((0.485 + 0.456 + 0.406) / 3,))
    x = torch.rand(2, 1, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(network(x), model(x), atol=1e-4, rtol=1e-4)


def _grey_torchvision() -> nn.Module:
    model = torchvision.models.resnet18(num_classes=4)
    model.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    return model


def test_a_network_with_blue_first_is_fed_blue_first():
    photo = Image.fromarray(np.dstack([np.full((96, 96), level, np.uint8) for level in (10, 120, 250)]))
    wants = Preprocessing(size=96, crop_ratio=1, mean=(0.1, 0.2, 0.3), std=(1, 2, 4))
    blue_first = frame(photo, replace(wants, order="bgr"))[0][0, :, 0, 0]
    expected = [(250 / 255 - 0.1) / 1, (120 / 255 - 0.2) / 2, (10 / 255 - 0.3) / 4]
    assert blue_first.tolist() == pytest.approx(expected, abs=1e-6)


def test_another_order_of_colours_is_refused():
    with pytest.raises(ParameterError, match="expected one of rgb, bgr"):
        Preprocessing(order="rbg")


def test_a_network_of_probabilities_keeps_them_as_shares():
    class Averaged(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x.softmax(1) + x.flip(1).softmax(1)) / 2

    network = Network.from_module(seeded(lambda: Small(head=nn.Sequential(nn.Linear(CHANNELS, CLASSES), Averaged()))),
                                  Preprocessing(size=32, crop_ratio=1))
    assert network.activation == "given"
    assert not isinstance(analyse(network, PHOTO).under().top(1)[0].probability, Value)


class Several(nn.Module):
    """Features, then logits: as a tuple or a dict."""

    def __init__(self, named: bool) -> None:
        super().__init__()
        self.body, self.head, self.named = nn.Sequential(nn.Conv2d(3, 6, 4, 4), nn.ReLU()), nn.Linear(6, 3), named

    def forward(self, x: torch.Tensor) -> tuple | dict:
        pooled = self.body(x).mean((2, 3))
        return {"pooled": pooled, "scores": self.head(pooled)} if self.named else (pooled, self.head(pooled))


@pytest.mark.parametrize(("named", "key"), [(True, "scores"), (False, 1)])
def test_which_of_several_outputs_is_asked_can_be_chosen_and_is_said_where_it_was_not(named, key):
    model, wants = Several(named).eval(), Preprocessing(size=32)
    first = Network.from_module(model, wants)
    assert any("2 outputs" in caution for caution in first.cautions)
    network = Network.from_module(model, wants, output=key)
    assert network.cautions == ()
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(network(x), model.head(model.body(x).mean((2, 3))).detach())
    with pytest.raises(NetworkError, match="expected"):
        Network.from_module(model, wants, output="nothing")


@pytest.mark.parametrize("names", [["age"], ["age", "height", "weight"]])
def test_neither_summary_nor_terminal_calls_a_value_of_a_regression_a_logit_or_a_probability(
    names, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    PHOTO.save("photo.png")
    model = seeded(lambda: Small(head=nn.Linear(CHANNELS, len(names))))
    network = network_of(model, class_names=names, activation="none")
    outcome = analyse(network, PHOTO).under()
    summary = report_html(outcome, 0, why=True)
    printed = ran(network, "--class", "0") + started(network, "photo.png")[1]
    for text in (summary.partition("</style>")[2], printed):
        assert "value" in text
        assert not re.findall(r"logit|probabilit|probable", re.sub(r'(src|href)="data:[^"]*"', "", text).lower())
