"""The bundled network for five flowers: one backbone shared with the other bundled one, and five heads."""

from __future__ import annotations

import gc
import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from explorer import analyse, load_network
from explorer.errors import NetworkError
from explorer.networks import BUNDLED, Network
from explorer.networks.loading import bundled
from explorer.networks.loading.bundled import TITLES
from tests.test_assets import ASSETS

NAMES = ("gap", "gmp", "gem", "learned_attention", "gated")
BACKBONE = ("efficientnet_lite0.json", "efficientnet_lite0.safetensors")


@pytest.fixture(scope="module")
def flowers() -> Network:
    return load_network("flowers")


def storages(network: Network) -> dict[str, int]:
    return {name: item.untyped_storage().data_ptr() for name, item in network.backbone.named_parameters()}


# As it is shipped.


def test_it_says_what_it_is(flowers):
    assert list(BUNDLED) == list(TITLES) == ["efficientnet_lite0", "flowers"]
    assert (flowers.name, flowers.title, flowers.origin) == (
        "flowers", "EfficientNet-Lite0, five flowers", "trained on flower photos, bundled")
    assert len(flowers.class_names) == len(set(flowers.class_names)) == 5
    assert (flowers.pooling.key, tuple(flowers.trained), flowers.head_kind) == ("gap", NAMES[1:], "affine")
    assert flowers.calibration.multipliers == {}
    assert len(flowers.digest) == 64


@pytest.mark.parametrize("key", NAMES)
def test_evidence_under_each_trained_head_adds_up_to_its_logit(flowers, examples, key):
    outcome = analyse(flowers, examples["coffee"]).under(key)
    assert outcome.label == ("native" if key == "gap" else "trained")
    weight, bias = outcome.head.weight.double(), outcome.head.bias.double()
    maps, weights = outcome.analysis.feature_maps.double(), outcome.weights.double()
    logits = weight @ (weights * maps).sum((1, 2)) + bias
    for result in outcome.evidences(range(5)):
        assert result.exact
        assert abs(result.residual) < 1e-4
        assert result.baseline + float(result.cells.sum()) == pytest.approx(result.logit, abs=1e-4)
        assert result.logit == pytest.approx(float(logits[result.class_index]), abs=1e-4)


def test_the_answer_by_its_layers_is_that_by_its_parts(flowers, examples):
    analysis = analyse(flowers, examples["cat"])
    torch.testing.assert_close(flowers.layers.logits(analysis.input)[0], analysis.under().logits, rtol=0, atol=1e-4)
    early = analyse(flowers, examples["cat"], layer=flowers.layers.all[2].key).under()
    torch.testing.assert_close(early.logits, analysis.under().logits, rtol=0, atol=1e-4)


def test_the_backbones_weights_are_in_memory_once_and_each_has_its_own_head(flowers, network, examples):
    assert storages(flowers) == storages(network) == storages(load_network("flowers"))
    maps = [analyse(item, examples["rocket"]).feature_maps for item in (flowers, network)]
    assert torch.equal(*maps)
    ends = {item.data_ptr() for item in network.head.parameters()}
    assert not ends & {item.data_ptr() for head in flowers.heads for item in head.parameters()}
    assert flowers.digest != network.digest
    heads = sum(item.numel() for head in flowers.heads for item in head.parameters())
    assert flowers.parameters == sum(item.numel() for item in flowers.backbone.parameters()) + heads


def test_the_weights_are_shared_although_the_network_that_was_loaded_last_is_gone(flowers):
    load_network("flowers")
    gc.collect()
    assert storages(flowers) == storages(load_network("flowers"))


# Files that are not what they should be.


def made_up_heads(folder: Path) -> None:
    """Heads of chance, as they are shipped."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)

    def some(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    learned = {"gap": {}, "gmp": {}, "gem": {"p": torch.tensor(2.5)}, "attention": {"query": some(1280)},
               "gated": {"gate.weight": some(1, 1280), "gate.bias": some(1)}}
    heads = {}
    for kind, more in learned.items():
        file = folder / f"flowers_{kind}.safetensors"
        save_file({"linear.weight": some(5, 1280), "linear.bias": some(5), **more}, file)
        heads[kind] = {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    sha256 = json.loads((ASSETS / BACKBONE[0]).read_text())["sha256"]
    (folder / "flowers.json").write_text(json.dumps(
        {"classes": ["a", "b", "c", "d", "e"], "backbone": {"sha256": sha256}, "heads": heads}))


@pytest.fixture
def heads(tmp_path, monkeypatch) -> Path:
    """A folder of heads that may be damaged."""
    for name in BACKBONE:
        shutil.copy(ASSETS / name, tmp_path / name)
    made_up_heads(tmp_path / "heads")
    monkeypatch.setattr(bundled, "ASSETS", tmp_path)
    return tmp_path / "heads"


def rewrite(folder: Path, **changes: object) -> None:
    card = json.loads((folder / "flowers.json").read_text())
    (folder / "flowers.json").write_text(json.dumps(card | changes))


def complaint() -> str:
    with pytest.raises(NetworkError) as caught:
        load_network("flowers")
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message


def test_the_digest_is_of_all_weights_and_of_nothing_else(heads):
    before = load_network("flowers")
    assert before.class_names == ("a", "b", "c", "d", "e")
    assert before.trained["gem"].parameters == {"p": 2.5}
    rewrite(heads, classes=["f", "g", "h", "i", "j"], measured={"gap": 0.9})
    assert load_network("flowers").digest == before.digest
    card, file = json.loads((heads / "flowers.json").read_text()), heads / "flowers_gmp.safetensors"
    save_file({"linear.weight": torch.zeros(5, 1280), "linear.bias": torch.zeros(5)}, file)
    card["heads"]["gmp"]["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    rewrite(heads, heads=card["heads"])
    assert load_network("flowers").digest != before.digest


def test_heads_of_another_backbone_are_refused(heads):
    rewrite(heads, backbone={"sha256": "a" * 64})
    assert "trained on a backbone with sha256 aaaaaaaaaaaa..." in complaint()


@pytest.mark.parametrize("name", ["flowers.json", "flowers_gap.safetensors", "flowers_gated.safetensors"])
def test_a_missing_file_is_named(heads, name):
    (heads / name).unlink()
    assert name in complaint()


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"classes": 5, "backbone": {"sha256": "a"}, "heads": {}}'])
def test_a_damaged_card_is_named(heads, content):
    (heads / "flowers.json").write_text(content)
    assert "flowers.json" in complaint()


def test_one_changed_bit_of_a_head_is_noticed(heads):
    file = heads / "flowers_attention.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert "flowers_attention.safetensors" in complaint()
