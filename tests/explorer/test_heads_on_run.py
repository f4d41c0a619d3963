"""Heads trained on a run: whose photos, what is measured, and the network that comes back from its folder."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from explorer import analyse, load_network, read_image
from explorer.__main__ import main
from explorer.errors import NetworkError, ParameterError, RunError, StoppedError
from explorer.folder import Run, scan, train_heads
from explorer.folder.boxes import inside, read_boxes, shares_inside
from explorer.folder.heads import heads_one_by_one, outcomes_of
from explorer.folder.labelled_maps import FEWEST, PARTS, LabelledMaps, labelled_maps, part_of
from explorer.framing import Framing
from explorer.heads import KINDS, Budget
from explorer.heads.measures import evidence_of, wilson
from explorer.heads.saving import save_heads
from explorer.networks.loading.options import Options
from explorer.poolings.learned import KEYS
from explorer.sections.heads_on_run import heads_section
from explorer.sections.text import lines

QUICK = Budget(epochs=20, patience=None, every=10)
COLOURS = {"red": (0, 200), "green": (1, 200), "blue": (2, 200)}


def draw(folder: Path, a_class: int = 18, size: tuple[int, int] = (120, 96), labels=tuple(COLOURS)) -> Path:
    """Noise with a disc of the label's colour, in folders named by it."""
    for place, label in enumerate(labels):
        (folder / label).mkdir(parents=True)
        for number in range(a_class):
            seeded = np.random.default_rng(100 * place + number)
            pixels = seeded.integers(0, 90, (size[1], size[0], 3), dtype=np.uint8)
            x, y = seeded.integers(30, size[0] - 30), seeded.integers(30, size[1] - 30)
            rows, columns = np.ogrid[:size[1], :size[0]]
            channel, value = COLOURS.get(label, (0, 120))
            pixels[(rows - y) ** 2 + (columns - x) ** 2 < 400, channel] = value
            Image.fromarray(pixels).save(folder / label / f"{number:03d}.png")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("coloured")
    return scan("efficientnet_lite0", draw(folder / "photos"), folder / "run", poolings=[])


@pytest.fixture(scope="module")
def result(run):
    return train_heads(run, budget=QUICK)


# What is measured.


def test_the_interval_is_wilsons_as_tables_have_it():
    for right, photos, low, high in ((8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0),
                                     (50, 100, 0.4038, 0.5962)):
        assert wilson(right, photos) == pytest.approx((low, high), abs=2e-4)
    with pytest.raises(ParameterError):
        wilson(0, 0)
    with pytest.raises(ParameterError):
        wilson(3, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_the_evidence_of_a_head_adds_up_to_its_logit(kind):
    generator = torch.Generator().manual_seed(1)
    head = KINDS[kind]((5, 3, 4), 3).eval().requires_grad_(False)
    for name, parameter in head.named_parameters():
        parameter.copy_(torch.tensor(1.7) if name == "p" else torch.randn(parameter.shape, generator=generator))
    maps, classes = torch.rand(4, 5, 3, 4, generator=generator), torch.tensor([0, 2, 1, 2])
    cells, logits = evidence_of(head, maps, classes), head(maps)
    for n, label in enumerate(classes.tolist()):
        assert float(cells[n].sum() + head.linear.bias[label]) == pytest.approx(float(logits[n, label]), abs=1e-4)
    if kind == "gap":
        by_hand = [[sum(float(head.linear.weight[2, k] * maps[1, k, i, j]) for k in range(5)) / 12
                    for j in range(4)] for i in range(3)]
        np.testing.assert_allclose(cells[1], by_hand, atol=1e-6)
    if kind == "flatten":
        weight = head.linear.weight[2].view(5, 3, 4)
        np.testing.assert_allclose(cells[1], (weight * maps[1]).sum(0), atol=1e-6)


def test_shares_inside_boxes_are_counted_pixel_by_pixel_and_an_overlap_once():
    framing = Framing("crop", (90, 70), (64, 64), (8.0, 2.0, 72.0, 66.0)).on_grid(2, 4)
    boxes = [(10.0, 5.0, 40.0, 30.0), (30.0, 20.0, 75.0, 69.0)]
    covered = np.zeros((70, 90), dtype=bool)
    for left, top, right, bottom in boxes:
        covered[int(top):int(bottom), int(left):int(right)] = True
    shares = shares_inside(framing, boxes)
    for i, j in np.ndindex(2, 4):
        left, top, right, bottom = (round(float(side)) for side in framing.rectangles[i, j])
        assert shares[i, j] == pytest.approx(covered[top:bottom, left:right].mean(), abs=1e-9)
    assert not shares_inside(framing, [(0.0, 0.0, 8.0, 70.0)]).any()
    np.testing.assert_allclose(shares_inside(framing, [(-5.0, -5.0, 99.0, 99.0)]), 1)
    assert inside(np.array([[2.0, -9.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]]), np.array([[0.5, 1, 1, 0], [1, 1, 1, 1]])) \
        == pytest.approx((2 * 0.5 + 1) / 4)
    assert inside(np.array([[-1.0]]), np.array([[1.0]])) is None


def test_boxes_come_from_csv_and_parquet_and_what_is_wrong_with_them_is_one_sentence(tmp_path):
    columns = {"path": ["a/1.png", "a/1.png"], "left": [1, 5], "top": [2, 6], "right": [3, 9], "bottom": [4, 8.5]}
    pq.write_table(pa.table(columns), tmp_path / "boxes.parquet")
    rows = zip(*columns.values(), strict=True)
    (tmp_path / "boxes.csv").write_text("path,left,top,right,bottom\n" + "\n".join(
        ",".join(map(str, row)) for row in rows))
    for name in ("boxes.csv", "boxes.parquet"):
        assert read_boxes(tmp_path / name, tmp_path) == {"a/1.png": [(1, 2, 3, 4), (5, 6, 9, 8.5)]}
    with pytest.raises(RunError, match="There are no boxes"):
        read_boxes(tmp_path / "none.csv", tmp_path)
    for text, words in (("path,left,top,right\na,1,2,3\n", "no column bottom"),
                        ("path,left,top,right,bottom\na,3,2,1,4\n", "left before right"),
                        ("path,left,top,right,bottom\na,,2,1,4\n", "left before right"),
                        ("path,left,top,right,bottom\na,x,2,1,4\n", "cannot be read")):
        (tmp_path / "wrong.csv").write_text(text)
        with pytest.raises(RunError, match=words):
            read_boxes(tmp_path / "wrong.csv", tmp_path)


def test_accuracy_and_evidence_inside_are_of_the_test_photos_alone():
    """Two channels, one for each class. Half of the test photos have the other class's map; a box is on the left."""
    labels = torch.arange(24) % 2
    parts = torch.arange(24) // 2 % 3
    maps = torch.zeros(24, 2, 2, 2)
    maps[torch.arange(24), labels] = torch.tensor([[3.0, 1.0], [0.0, 0.0]])
    wrong = torch.nonzero(parts == 2).flatten()[:4]
    maps[wrong] = maps[wrong].flip(1)
    framing = Framing("crop", (64, 64), (64, 64), (0.0, 0.0, 64.0, 64.0)).on_grid(2, 2)
    paths = tuple(f"{n}.png" for n in range(24))
    given = LabelledMaps(maps.half(), labels, parts, ("even", "odd"), paths, (framing,) * 24)
    boxes = {path: [(0.0, 0.0, 32.0, 64.0)] for path in paths}
    for outcome in outcomes_of(given, ["gap", "multi_query"], ["ce", "bce"], boxes=boxes, budget=QUICK):
        assert (outcome.right, outcome.photos) == (4, 8)
        assert outcome.validation_accuracy == 1.0
        if outcome.kind == "gap":  # 3 of 4 lie on the left, and a photo of the other class has no positive evidence
            assert outcome.inside == pytest.approx(0.75, abs=1e-3)
            assert outcome.boxed == 4


# Whose photos.


def test_a_photos_part_hangs_on_its_path_alone():
    paths = [f"some/folder/{n}.jpg" for n in range(3000)]
    drawn = [part_of(path) for path in paths]
    assert drawn == [part_of(path) for path in reversed(paths)][::-1]
    for part, share in zip(PARTS, (0.6, 0.2, 0.2), strict=True):
        assert drawn.count(part) / 3000 == pytest.approx(share, abs=0.03)
    first = int.from_bytes(hashlib.sha256(b"roses/1.jpg").digest()[:8], "big") / 2**64
    assert part_of("roses/1.jpg") == ("train" if first < 0.6 else "validation" if first < 0.8 else "test")


def test_parts_are_disjoint_and_the_maps_are_those_of_each_photo_alone(run):
    maps = labelled_maps(run)
    assert maps.class_names == ("blue", "green", "red")
    parts = [set(maps.of(part).tolist()) for part in PARTS]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(maps.paths) == len(set(maps.paths)) == 54
    for n in (0, 17, 40):
        alone = analyse(run.network, read_image(run.photos / maps.paths[n]))
        np.testing.assert_allclose(maps.maps[n].float(), alone.feature_maps, atol=5e-3)
        assert maps.class_names[int(maps.labels[n])] == maps.paths[n].split("/")[0]
        assert maps.framings[n] == alone.framing
        assert PARTS[int(maps.parts[n])] == part_of(maps.paths[n])


def test_what_does_not_fit_into_the_memory_is_left_out_evenly(run):
    one = 2 * 1280 * 7 * 7
    maps = labelled_maps(run, most_bytes=48 * one + one // 2)
    assert (len(maps.paths), maps.beyond) == (48, 6)
    assert torch.bincount(maps.labels).tolist() == [16, 16, 16]
    assert maps.maps.dtype == torch.float16


def test_a_label_with_too_few_photos_is_left_out_and_with_fewer_than_two_labels_there_is_a_sentence(tmp_path):
    photos = draw(tmp_path / "photos", 18, labels=("red", "green"))
    few = draw(tmp_path / "few", 2, labels=("blue",))
    shutil.copytree(few / "blue", photos / "blue")
    run = scan("efficientnet_lite0", photos, tmp_path / "run", poolings=[])
    maps = labelled_maps(run)
    assert (maps.class_names, maps.left_out) == (("green", "red"), (("blue", 2),))
    alone = scan("efficientnet_lite0", few, tmp_path / "alone", poolings=[])
    with pytest.raises(RunError, match=r"1 labels on 2 photos .*'blue' has 2.*at least two labels"):
        labelled_maps(alone)
    unlabelled = scan("efficientnet_lite0", few / "blue", tmp_path / "unlabelled", poolings=[])
    with pytest.raises(RunError, match="no photo with a label; expected at least two labels"):
        labelled_maps(unlabelled)
    shutil.rmtree(photos)
    with pytest.raises(RunError, match="is gone"):
        labelled_maps(Run.open(run.path))
    assert FEWEST == (3, 1, 1)


def test_maps_of_several_sizes_and_networks_without_a_pooling_are_refused(tmp_path, make_network):
    photos = draw(tmp_path / "photos", 12)
    for number in range(6):
        Image.new("RGB", (300, 100)).save(photos / "red" / f"wide{number}.png")
    tiny = make_network()
    whole = scan(tiny, photos, tmp_path / "whole", framing="whole", poolings=[])
    with pytest.raises(RunError, match=r"expected one size: scan the photos again with --framing crop or squash"):
        labelled_maps(whole)


def test_kinds_losses_and_boxes_that_do_not_exist_are_refused_before_any_photo_is_passed(run, tmp_path):
    with pytest.raises(ParameterError, match="multi_query"):
        train_heads(run, ["max"])
    with pytest.raises(ParameterError, match="expected one of ce, bce"):
        train_heads(run, ["gap"], ["hinge"])
    with pytest.raises(ParameterError, match="no loss"):
        train_heads(run, ["gap"], [])
    with pytest.raises(RunError, match="There are no boxes"):
        train_heads(run, ["gap"], boxes=tmp_path / "none.csv")
    with pytest.raises(RunError, match="No photo has a box"):
        train_heads(run, ["gap"], boxes={"other.png": [(0, 0, 1, 1)]}, budget=QUICK)


# Training.


def test_every_kind_is_measured_by_every_loss_and_colours_are_learned(result):
    assert [(one.kind, one.loss) for one in result.outcomes] == [
        (kind, loss) for kind in KINDS for loss in ("ce", "bce")]
    assert result.of == len(result.outcomes) == 18
    assert result.counts["train"] + result.counts["validation"] + result.counts["test"] == 54
    assert result.shape == (1280, 7, 7)
    for one in result.outcomes:
        assert one.photos == result.counts["test"]
        assert one.low <= one.accuracy <= one.high
        assert one.parameters == sum(weight.numel() for weight in one.head.parameters())
        assert one.inside is None
        assert one.seconds > 0
    best = max(one.accuracy for one in result.outcomes)
    assert best > 0.6


def test_steps_rise_from_photos_to_epochs_and_a_stop_ends_it(run):
    steps = []
    train_heads(run, ["gap"], ["ce"], budget=QUICK, progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (54 + 20, 54 + 20)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    with pytest.raises(StoppedError, match="of 54 photos"):
        train_heads(run, ["gap"], stop=lambda: True)
    checks = []
    with pytest.raises(StoppedError, match="epochs of GAP"):
        train_heads(run, ["gap"], budget=QUICK, stop=lambda: len(checks) > 60 or checks.append(0))


def test_outcomes_come_one_by_one(run):
    seen = [len(so_far.outcomes) for so_far in heads_one_by_one(run, ["gap", "gmp"], ["bce"], budget=QUICK)]
    assert seen == [1, 2]


def test_the_table_says_what_its_numbers_are_of(run):
    paths = run.query("SELECT path FROM rows")["path"].to_pylist()
    result = train_heads(run, ["gap", "flatten"], ["ce"], budget=QUICK,
                         boxes={path: [(0.0, 0.0, 60.0, 96.0)] for path in paths})
    text = "\n".join(lines(heads_section(result)))
    gap = result.outcomes[0]
    assert 0 < gap.inside < 1
    assert result.chance == pytest.approx(0.5, abs=0.02)
    assert f"{gap.right} of {gap.photos}" in text
    for words in ("95% interval", "evidence inside the boxes", "Flatten", "cross-entropy", "decided when to stop"):
        assert words in text


# The network that they make.


def test_the_network_comes_back_from_its_folder_with_the_same_logits(result, tmp_path):
    photo = read_image(next(result.run.photos.rglob("*.png")))
    for loss, activation in (("ce", "softmax"), ("bce", "sigmoid")):
        folder = result.save(tmp_path / loss, loss)
        loaded, made = load_network(folder), result.network(loss)
        assert loaded.digest == made.digest
        assert loaded.activation == made.activation == activation
        assert loaded.class_names == ("blue", "green", "red")
        here, there = analyse(loaded, photo), analyse(made, photo)
        heads = {one.kind: one.head for one in result.outcomes if one.loss == loss}
        assert set(loaded.trained) == set(KEYS.values()) - {"gap"}
        for kind, key in KEYS.items():
            outcome = here.under(key)
            assert outcome.label == ("native" if kind == "gap" else "trained")
            assert torch.allclose(outcome.logits, there.under(key).logits, atol=1e-5)
            assert torch.allclose(outcome.logits, heads[kind](here.feature_maps[None])[0], atol=1e-4)
            evidence = outcome.evidence(1)
            assert float(evidence.cells.sum()) + evidence.baseline == pytest.approx(evidence.logit, abs=1e-4)
            assert evidence.exact
        assert torch.allclose(loaded(here.input)[0], here.under().logits, atol=1e-4)
    assert {file.name.split("-")[0] for file in (tmp_path / "ce").glob("*.safetensors")} == set(KEYS)
    assert sum(file.stat().st_size for file in (tmp_path / "ce").iterdir()) < 400_000


def test_its_layers_are_those_of_the_backbone_and_end_in_the_new_head(result):
    network = result.network()
    keys = [layer.key for layer in network.layers.all]
    assert keys == [layer.key for layer in result.run.network.layers.all]
    photo = read_image(next(result.run.photos.rglob("*.png")))
    analysis = analyse(network, photo, layer=keys[-2])
    assert analysis.under().cam("grad_cam", 1).shape == analysis.feature_maps.shape[1:]
    assert torch.allclose(network.layers.logits(analysis.input), network(analysis.input), atol=1e-4)


def test_without_gap_the_first_head_is_the_networks_own_and_without_a_pooling_there_is_none(run, tmp_path):
    result = train_heads(run, ["gem", "gmp"], ["bce"], budget=QUICK)
    network = load_network(result.save(tmp_path / "heads"))
    assert (network.pooling.key, list(network.trained)) == ("gmp", ["gem"])
    assert network.label("gmp", {}) == "native"
    flat = train_heads(run, ["flatten"], ["ce"], budget=QUICK)
    for use in (flat.network, lambda: flat.save(tmp_path / "flat")):
        with pytest.raises(RunError, match="No network can be made of flatten"):
            use()
    assert not (tmp_path / "flat").exists()


def test_a_folder_is_replaced_whole_and_other_things_are_not_touched(run, result, tmp_path):
    folder = result.save(tmp_path / "heads")
    first = load_network(folder).digest
    second = train_heads(run, ["gap"], ["ce"], budget=Budget(epochs=5, patience=None)).save(folder)
    assert load_network(second).digest != first
    assert len(list(folder.iterdir())) == 2
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_bytes(b"mine")
    with pytest.raises(RunError, match="other things are there"):
        result.save(tmp_path / "photos")
    with pytest.raises(RunError, match="other things are there"):
        result.save(tmp_path / "photos" / "1.jpg")
    assert os.listdir(tmp_path / "photos") == ["1.jpg"]


def changed(folder: Path, **changes) -> None:
    card = json.loads((folder / "heads.json").read_text())
    (folder / "heads.json").write_text(json.dumps(card | changes))


def test_damaged_exchanged_and_foreign_folders_are_refused_in_a_sentence(result, tmp_path):
    whole = result.save(tmp_path / "whole")
    card = json.loads((whole / "heads.json").read_text())
    first = whole / card["heads"]["gap"]["file"]

    def refused(words: str, **changes) -> None:
        folder = tmp_path / "changed"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        changed(folder, **changes)
        with pytest.raises(NetworkError, match=words):
            load_network(folder)

    refused("were trained on a backbone with sha256 000000000000", backbone=card["backbone"] | {"sha256": "0" * 64})
    refused("format 7", format=7)
    refused("damaged", classes=["one"])
    refused("damaged", classes=["one", "two"])
    refused("damaged", heads={"gap": card["heads"]["gap"] | {"file": "../whole/" + first.name}})
    refused("damaged", activation="tanh")
    refused("There is no network", backbone=card["backbone"] | {"network": "no_such_network"})
    refused("damaged", backbone=card["backbone"] | {"network": str(whole)})
    first.write_bytes(first.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(NetworkError, match=r"gap-.*damaged or was exchanged"):
        load_network(whole)
    first.unlink()
    with pytest.raises(NetworkError, match=r"gap-.*cannot be read"):
        load_network(whole)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NetworkError, match="holds no network"):
        load_network(tmp_path / "empty")


def test_a_run_of_a_checkpoint_names_its_file_and_one_that_moved_may_lie_beside_the_heads(tmp_path):
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=4)
    save_file(model.state_dict(), tmp_path / "mine.safetensors")
    run = scan(Options("timm/test_resnet", tmp_path / "mine.safetensors", size=128), draw(tmp_path / "photos"),
               tmp_path / "run", poolings=[])
    result = train_heads(run, ["gap", "multi_query"], ["ce"], budget=QUICK)
    folder = result.save(tmp_path / "heads")
    network = load_network(str(folder))
    assert network.preprocessing.size == 128
    photo = read_image(tmp_path / "photos" / "red" / "000.png")
    expected = analyse(result.network(), photo).under("multi_query_attention").logits
    assert torch.allclose(analyse(network, photo).under("multi_query_attention").logits, expected, atol=1e-5)
    shutil.move(tmp_path / "mine.safetensors", tmp_path / "elsewhere.safetensors")
    with pytest.raises(NetworkError, match=r"mine\.safetensors', which is not there"):
        load_network(folder)
    shutil.copy(tmp_path / "elsewhere.safetensors", folder / "mine.safetensors")
    assert load_network(folder).digest == network.digest
    state = load_file(folder / "mine.safetensors")
    save_file(state | {next(iter(state)): next(iter(state.values())) + 1}, folder / "mine.safetensors")
    with pytest.raises(NetworkError, match="expected the same weights"):
        load_network(folder)


def test_a_network_made_in_python_is_used_in_python_and_not_written(tmp_path, make_network):
    network = make_network(nn.Linear(5, 4))
    run = scan(network, draw(tmp_path / "photos"), tmp_path / "run", poolings=[])
    result = train_heads(run, ["gap"], ["bce"], budget=QUICK)
    assert result.network().class_names == ("blue", "green", "red")
    with pytest.raises(RunError, match="made in Python"):
        result.save(tmp_path / "heads")


def test_a_run_by_a_folder_of_heads_trains_heads_on_the_backbone_behind_it(result, tmp_path):
    folder = result.save(tmp_path / "first")
    again = scan(str(folder), result.run.photos, tmp_path / "run", poolings=[])
    assert again.recipe["network"]["class_names"] == ["blue", "green", "red"]
    assert Run.open(again.path).network.digest == load_network(folder).digest
    second = train_heads(Run.open(again.path), ["gap"], ["ce"], budget=QUICK)
    loaded = load_network(second.save(tmp_path / "second"))
    shutil.rmtree(folder)
    assert load_network(tmp_path / "second").digest == loaded.digest == second.network().digest
    assert loaded.title == "EfficientNet-Lite0, trained on photos"


def test_other_framings_are_a_caution(tmp_path):
    run = scan("efficientnet_lite0", draw(tmp_path / "photos"), tmp_path / "run", poolings=[], framing="squash",
               short_side=128)
    result = train_heads(run, ["gap"], ["ce"], budget=QUICK)
    assert load_network(result.save(tmp_path / "heads")).cautions == (
        "Its heads were trained on photos framed as squash, 128 px.",)


def test_a_card_needs_heads(tmp_path):
    backbone = {"network": "efficientnet_lite0", "checkpoint": None, "sha256": load_network().digest}
    save_heads(tmp_path / "heads", {}, {"classes": ["a", "b"], "activation": "softmax", "title": "", "origin": "",
                                        "cautions": [], "backbone": backbone})
    with pytest.raises(NetworkError, match="damaged"):
        load_network(tmp_path / "heads")


# The terminal.


def test_the_command_prints_the_table_and_writes_a_network_that_the_others_take(run, tmp_path, capsys):
    out = tmp_path / "network"
    assert main(["heads", str(run.path), "--out", str(out), "--kinds", "gap", "gmp", "--loss", "bce", "ce"]) == 0
    text = capsys.readouterr().out
    assert "one against all" in text
    assert f"Wrote {out} (loss: one against all)" in text
    photo = str(run.photos / "red" / "000.png")
    assert main([photo, "--network", str(out), "--pooling", "gmp", "--out", str(tmp_path / "files")]) == 0
    assert "by sigmoid" in capsys.readouterr().out
    record = tmp_path / "files" / "000.json"
    assert main([photo, "--recipe", str(record), "--out", str(tmp_path / "again")]) == 0
    assert "Repeats the recipe" in capsys.readouterr().out
    assert main(["folder", str(run.photos), "--out", str(tmp_path / "run"), "--network", str(out)]) == 0


def test_the_command_gives_numbers_as_json_and_sentences_for_what_is_wrong(run, tmp_path, capsys):
    out = str(tmp_path / "network")
    assert main(["heads", str(run.path), "--out", out, "--kinds", "gap", "flatten", "--loss", "ce", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [head["kind"] for head in record["heads"]] == ["gap", "flatten"]
    assert math.isclose(record["heads"][0]["accuracy"], record["heads"][0]["right"] / record["heads"][0]["photos"])
    for arguments, words in (
        ([str(tmp_path), "--out", out], "There is no run"), ([str(run.path)], "--out"),
        ([str(run.path), "--out", out, "--kinds", "flatten"], "No network can be made of flatten"),
        ([str(run.path), "--out", out, "--kinds", "max"], "invalid choice"),
        ([str(run.path), "--out", str(run.photos)], "other things are there"),
    ):
        assert main(["heads", *arguments]) == 2
        captured = capsys.readouterr()
        assert words in captured.err
        assert captured.err.count("\n") == 1
        assert not captured.out


def test_an_interrupt_writes_nothing(run, tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("explorer.terminal.heads_command.train_heads", interrupted)
    assert main(["heads", str(run.path), "--out", str(tmp_path / "network")]) == 130
    assert "nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "network").exists()
