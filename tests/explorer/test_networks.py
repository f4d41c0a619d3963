"""The bundled network: its parts, its file, and the numbers that mend its probabilities."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from assets.make.fit_calibration import fit_multiplier
from explorer import CAM_METHODS, POOLINGS, analyse, load_network
from explorer.errors import NetworkError, ParameterError
from explorer.framing import FRAMINGS
from explorer.networks.calibration import Calibration
from explorer.networks.loading import bundled


@pytest.mark.parametrize("framing", FRAMINGS)
def test_the_parts_put_together_give_the_original_models_logits(network, original, examples, framing):
    for image in examples.values():
        analysis = analyse(network, image, framing)
        with torch.no_grad():
            expected = original(analysis.input)
        for logits in (network(analysis.input), analysis.under().logits[None]):
            torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-4)


def test_a_network_is_its_head_on_its_pooling_on_its_backbone(network, examples):
    x = analyse(network, examples["coffee"]).input
    with torch.no_grad():
        torch.testing.assert_close(network(x), network.head(network.pooling.value(network.backbone(x))))


def test_the_astronaut_is_taken_for_a_football_helmet(network, examples):
    analysis = analyse(network, examples["astronaut"])
    assert analysis.under().top(1)[0].name == "football helmet"


def test_what_it_sees_on_the_other_examples_is_what_was_measured(network, examples):
    # FACTS.md; this fails when the preprocessing is wrong (with ImageNet's mean and std, for one).
    seen = {name: analyse(network, image).under().top(2) for name, image in examples.items()}
    assert {answer.name for answer in seen["cat"]} == {"tiger cat", "Egyptian cat"}
    for name, expected, probability in (("coffee", "espresso", 0.95), ("photographer", "tripod", 0.94)):
        assert seen[name][0].name == expected
        assert seen[name][0].probability == pytest.approx(probability, abs=0.03)
    assert seen["rocket"][0].name == "missile"


def test_the_feature_maps_are_those_that_enter_its_own_pooling(network, original, examples):
    x = analyse(network, examples["cat"]).input
    with torch.no_grad():
        maps = network.backbone(x)
        assert maps.shape == (1, 1280, 7, 7)
        assert maps.min() >= 0
        torch.testing.assert_close(original.global_pool(maps), network.pooling.value(maps))
        torch.testing.assert_close(original.forward_features(x), maps)


def test_its_card_says_what_it_is(network):
    card = json.loads((bundled.ASSETS / "efficientnet_lite0.json").read_text())
    assert network.name == "efficientnet_lite0"
    assert network.pooling is POOLINGS["gap"]
    assert network.head_kind == "affine"
    assert network.digest == card["sha256"]
    assert len(network.class_names) == 1000
    assert network.class_names[207] == "golden retriever"
    assert len(card["checkpoint_sha256"]) == 64


def test_the_network_is_in_evaluation_mode_and_its_parameters_need_no_gradient(network):
    for part in (network.backbone, network.head):
        assert not any(module.training for module in part.modules())
        parameters = list(part.parameters())
        assert parameters
        assert not any(parameter.requires_grad for parameter in parameters)
        assert all(parameter.dtype == torch.float32 for parameter in parameters)


HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def hooks_of(network):
    modules = [module for part in (network.backbone, network.head) for module in part.modules()]
    assert len(modules) > 100
    own = [(module, kind) for module in modules for kind in HOOKS if getattr(module, kind)]
    return own + [kind for kind in HOOKS if getattr(torch.nn.modules.module, f"_global{kind}")]


def test_no_module_carries_a_hook_before_during_or_after_an_analysis(network, examples):
    assert not hooks_of(network)
    analysis = analyse(network, examples["cat"])
    for pooling in POOLINGS:
        analysis.under(pooling).evidences([281, 282])
    for method in set(CAM_METHODS) - {"score_cam"}:
        analysis.cam(method, 281)
    analysis.cam("grad_cam", 282, "gmp")
    analysis.votes()
    assert not hooks_of(network)


def test_loading_it_unpickles_nothing(monkeypatch):
    def forbidden(*_, **__):
        raise AssertionError("something was unpickled")

    for owner, name in ((torch, "load"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"),
                        (torch.hub, "load_state_dict_from_url")):
        monkeypatch.setattr(owner, name, forbidden)
    assert load_network("efficientnet_lite0").digest


def test_two_calls_load_two_networks(network):
    other = load_network()
    with torch.no_grad():
        other.head.bias += 1
    assert not torch.equal(other.head.bias, network.head.bias)


# Files that are not what they should be.


@pytest.fixture
def assets(tmp_path, monkeypatch):
    """A copy of the assets that may be damaged."""
    for name in ("efficientnet_lite0.json", "efficientnet_lite0.safetensors", "imagenet_classes.txt",
                 "calibration.json"):
        shutil.copy(bundled.ASSETS / name, tmp_path / name)
    monkeypatch.setattr(bundled, "ASSETS", tmp_path)
    bundled.imagenet_class_names.cache_clear()
    yield tmp_path
    bundled.imagenet_class_names.cache_clear()


def complaint(name="efficientnet_lite0"):
    """The message of the NetworkError, which must be one sentence on one line."""
    with pytest.raises(NetworkError) as caught:
        load_network(name)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    assert "Traceback" not in message
    return message


def set_hash(assets):
    """Make the card expect the file as it is, so that what lies behind the hash is reached."""
    card = json.loads((assets / "efficientnet_lite0.json").read_text())
    card["sha256"] = hashlib.sha256((assets / "efficientnet_lite0.safetensors").read_bytes()).hexdigest()
    (assets / "efficientnet_lite0.json").write_text(json.dumps(card))


def test_an_untouched_copy_loads(assets, network):
    assert load_network().digest == network.digest


def test_one_changed_bit_is_noticed(assets):
    file = assets / "efficientnet_lite0.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    message = complaint()
    assert "efficientnet_lite0.safetensors" in message
    assert "sha256" in message


def test_a_truncated_file_is_noticed(assets):
    file = assets / "efficientnet_lite0.safetensors"
    file.write_bytes(file.read_bytes()[:100_000])
    assert "sha256" in complaint()


def test_a_truncated_file_whose_hash_was_adjusted_is_noticed(assets):
    file = assets / "efficientnet_lite0.safetensors"
    file.write_bytes(file.read_bytes()[:100_000])
    set_hash(assets)
    assert "not safetensors" in complaint()


def test_tensors_of_another_network_are_noticed(assets):
    save_file({"weight": torch.zeros(3)}, assets / "efficientnet_lite0.safetensors")
    set_hash(assets)
    assert "efficientnet_lite0.safetensors" in complaint()


@pytest.mark.parametrize("name", [
    "efficientnet_lite0.safetensors", "efficientnet_lite0.json", "imagenet_classes.txt", "calibration.json",
])
def test_a_missing_file_is_named(assets, name):
    (assets / name).unlink()
    assert name in complaint()


@pytest.mark.parametrize(("name", "content"), [
    ("efficientnet_lite0.json", b"{"), ("efficientnet_lite0.json", b"[]"), ("calibration.json", b""),
    ("calibration.json", b"\xff\xfe"),
])
def test_a_damaged_card_is_named(assets, name, content):
    (assets / name).write_bytes(content)
    assert name in complaint()


def test_a_list_of_names_that_is_too_short_is_noticed(assets):
    (assets / "imagenet_classes.txt").write_text("cat\ndog\n")
    message = complaint()
    assert "2" in message
    assert "1000" in message


@pytest.mark.parametrize("name", ["resnet5000", "", "../efficientnet_lite0"])
def test_an_unknown_name_is_answered_with_one_that_is_here(name):
    message = complaint(name)
    assert repr(name) in message
    assert "efficientnet_lite0" in message


@pytest.mark.parametrize("index", [-1, 1000, 1.0, True, "207", None])
def test_a_class_that_does_not_exist_is_answered_with_the_range(network, index):
    with pytest.raises(ParameterError, match="0 to 999"):
        network.check_class(index)


def test_the_last_class_exists(network):
    assert network.check_class(999) == 999


# Calibration.


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_fitting_recovers_a_known_temperature(temperature):
    generator = torch.Generator().manual_seed(1)
    honest = torch.randn(20_000, 6, generator=generator) * 2
    labels = torch.multinomial(torch.softmax(honest, 1), 1, generator=generator)[:, 0]
    assert fit_multiplier(honest * temperature, labels) == pytest.approx(1 / temperature, rel=0.03)


def test_the_fitted_number_is_where_the_loss_is_least():
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(500, 4, generator=generator) * 5
    labels = torch.where(torch.rand(500, generator=generator) < 0.8, logits.argmax(1), 0)
    fitted = fit_multiplier(logits, labels)

    def loss(multiplier):
        return float(torch.nn.functional.cross_entropy(logits.double() * multiplier, labels))

    grid = np.geomspace(0.03, 3, 300)
    assert fitted == pytest.approx(grid[int(np.argmin([loss(multiplier) for multiplier in grid]))], rel=0.02)


def test_a_multiplier_is_interpolated_between_fitted_parameters_and_never_beyond():
    calibration = Calibration({"gem": ((2.0, 0.8), (4.0, 0.4)), "gmp": ((0.0, 0.3),)})
    assert calibration.multiplier("gem", {"p": 2.0}) == 0.8
    assert calibration.multiplier("gem", {"p": 2.5}) == pytest.approx(0.7)
    assert calibration.multiplier("gem", {"p": 4.0}) == 0.4
    assert calibration.multiplier("gem", {"p": 1.9}) is None
    assert calibration.multiplier("gem", {"p": 4.1}) is None
    assert calibration.multiplier("gmp", {}) == 0.3
    assert calibration.multiplier("lse", {"r": 1.0}) is None
    assert Calibration().multiplier("gmp", {}) is None


def test_the_bundled_network_has_a_number_for_every_what_if_over_the_whole_range(network):
    for key, pooling in POOLINGS.items():
        known = pooling.parameter
        for parameters in ({known.name: known.low}, {known.name: known.high}) if known else ({},):
            assert 0.05 < network.calibration.multiplier(key, parameters) < 5
    assert network.calibration.multiplier("gmp", {}) == pytest.approx(0.3, abs=0.1)


def test_the_native_pooling_is_never_mended(network, examples):
    analysis = analyse(network, examples["cat"])
    assert analysis.under("gap").multiplier is None
    assert analysis.under("gem", p=1).multiplier == network.calibration.multiplier("gem", {"p": 1.0})


def test_native_means_the_same_pooling_with_the_same_parameter(make_network):
    tiny = make_network(pooling="gem", p=2.0)
    assert tiny.is_native("gem", {"p": 2.0})
    assert not tiny.is_native("gem", {"p": 3.0})
    assert not tiny.is_native("gap", {})
    x = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(3))
    maps = tiny.backbone(x)
    torch.testing.assert_close(tiny(x), tiny.head(maps.square().mean((2, 3)).sqrt()))
