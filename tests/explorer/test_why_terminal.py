"""`python -m explorer why`: its lines say what comes out when it is computed again, and what there is none of."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import squeezenet1_1

from explorer import __main__, analyse, load_network, read_image
from explorer.export.report import report_html
from explorer.framing import frame
from explorer.networks import Network
from explorer.questions.edited_photo import changed_photo
from explorer.questions.probe import TAKEN_OUT
from explorer.questions.reasons import reasons
from explorer.questions.variations import VARIATIONS
from explorer.terminal.output import progress_line
from explorer.wording import percent
from tests.explorer import layered
from tests.explorer.by_hand import (
    AGAINST,
    ASKED,
    CALIBRATION,
    PHOTO,
    ByHand,
    deciding_head,
    maps_of,
)
from tests.explorer.test_report import Tree
from tests.explorer.tiny import linear, with_backbone
from tests.explorer.why_command import QUICK_FILES, SLOWLY, ran, recorded, refusal, section, sentences, started, table

EXPLAINED = [*(item.explanation for item in VARIATIONS.values()), *(item.name for item in VARIATIONS.values())]
ASTRONAUT = Path(__file__).resolve().parents[2] / "assets" / "examples" / "astronaut.jpg"


@pytest.fixture(autouse=True)
def photo(tmp_path, monkeypatch) -> str:
    """A small photo in a fresh folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    PHOTO.save("photo.png")
    return "photo.png"


@pytest.fixture(scope="module")
def decided(make_network) -> Network:
    """Four classes that differ by some logits, and fitted numbers for two what-ifs."""
    return dataclasses.replace(make_network(deciding_head()), calibration=CALIBRATION)


@pytest.fixture(scope="module")
def whole(decided, tmp_path_factory) -> tuple[str, Path]:
    """All that there is to ask, once: what was printed, and the folder with the files."""
    folder = tmp_path_factory.mktemp("whole")
    PHOTO.save(folder / "photo.png")
    code, out, err = started(decided, "why", folder / "photo.png", "--report", "--out", folder / "out")
    assert (code, err) == (0, "")
    return out, folder / "out"


# What the lines say.


def test_all_words_and_numbers_of_the_summary_s_section_are_printed(decided):
    out = ran(decided, "--class", ASKED, "--against", AGAINST, "--pooling", "gem:p=5", "--calibrated")
    outcome = analyse(decided, PHOTO).under("gem", p=5.0)
    tree = Tree(report_html(outcome, ASKED, True, why=reasons(outcome, ASKED, AGAINST, True)))
    begin = next(n for n, (tag, attributes, _) in enumerate(tree.elements) if attributes.get("class") == "reasons")
    end = next(n for n, (tag, *_) in enumerate(tree.elements) if tag == "section" and n > begin)
    printed = " ".join(out.split())
    count = 0
    for tag, attributes, text in tree.elements[begin:end]:
        words = " ".join("".join(text).split()).translate(str.maketrans({"−": "-", "×": "x"}))
        if tag in ("h2", "td", "th", "strong") or (tag == "p" and attributes.get("class") in (None, "lead", "note")):
            count += 1
            assert words in printed or "Probability of" in words or words in "".join(EXPLAINED), words
    assert count > 100
    assert f"class {ASKED} ({ASKED}) against class {AGAINST} ({AGAINST}), under GeM, p = 5 (what-if)" in out


def test_what_flips_it_and_what_is_enough_do_so_when_the_photo_is_made_by_hand(decided, whole):
    out, folder = whole
    answer, result = ByHand(decided).answer, recorded(folder)["why"]
    for name, opening, still in (("flip", "With", ""), ("sufficient", "With all but", "still ")):
        one = result[name]
        chosen = np.array(one["positions"], bool)
        taken = chosen if name == "flip" else ~chosen
        hand = ByHand(decided, maps=maps_of(decided, changed_photo(analyse(decided, PHOTO), taken, "blur")))
        assert (hand.answer == answer) == (name == "sufficient")
        stated = f"{opening} {chosen.sum()} of 16 positions ({percent(chosen.sum() / 16)}) blurred the prediction is " \
               f"{still}class {hand.answer}, {percent(max(hand.shares()))}."
        assert stated in sentences(out.splitlines())
        assert one["sentence"] == stated
        with Image.open(folder / f"photo_why_{name}.png") as written:
            assert ByHand(decided, maps=maps_of(decided, written)).logits == pytest.approx(hand.logits)


def test_how_stable_it_is_is_counted_over_the_variants_of_the_record(decided, whole):
    out, folder = whole
    text, under = sentences(section(out, "Changed a little")), recorded(folder)["why"]["stability"]["under"]
    assert [item["key"] for item in under] == ["gap", "gmp", "attention"]
    requests = ByHand(decided).answer
    for item in under:
        own, variants = item["original"], item["variants"]
        hand = ByHand(decided, item["key"])
        assert own["probability"] == pytest.approx(hand.shares()[requests], abs=1e-5)
        assert own["answer"] == hand.answer
        stays = sum(row["answer"] == own["answer"] for row in variants)
        shares = [row["probability"] for row in (own, *variants)]
        moved = [row["moved"] for row in variants if row["moved"] is not None]
        stayed = f"stays in {stays} of {len(variants)} variants; " if stays < len(variants) else (
            f"stays in all {len(variants)} variants. ")
        assert f"{item['name']}: The answer {stayed}" in text
        whose = "Its probability" if hand.answer == requests else f"The probability of {decided.class_names[requests]}"
        assert (f"{whose} lies between {percent(min(shares))} and {percent(max(shares))}, and its evidence "
                f"moves by at most {max(moved):.1f} positions.") in text
        mirrored = ByHand(decided, item["key"], maps=maps_of(decided, PHOTO.transpose(Image.FLIP_LEFT_RIGHT)))
        (row,) = (row for row in variants if row["variation"] == "flip")
        assert (row["answer"], row["label"]) == (mirrored.answer, "mirroring")
        assert row["logit"] == pytest.approx(mirrored.logits[requests], abs=1e-5)


def test_the_bundled_network_is_asked_all_of_it(network, tmp_path):
    code, out, err = started(network, "why", ASTRONAUT, "--size", 128, "--against", "bobsled", "--out", tmp_path)
    assert (code, err) == (0, "")
    record = json.loads((tmp_path / "astronaut_why.json").read_text())
    result, analysis = record["why"], analyse(network, read_image(ASTRONAUT), short_side=128)
    logits = network.head(analysis.feature_maps.mean((1, 2))[None])[0].double()
    mine = int(logits.argmax())
    assert result["contrast"]["difference"] == pytest.approx(float(logits[mine] - logits[450]), abs=1e-4)
    cells, baseline = np.array(result["contrast"]["cells"]), result["contrast"]["baseline"]
    assert baseline + cells.sum() == pytest.approx(float(logits[mine] - logits[450]), abs=1e-3)
    for name in ("flip", "sufficient"):
        chosen = np.array(result[name]["positions"], bool)
        changed = changed_photo(analysis, chosen if name == "flip" else ~chosen, "blur")
        stated = analyse(network, changed, short_side=128).under().top(1)[0]
        assert (stated.class_index == mine) == (name == "sufficient")
        assert f"{stated.name}, {percent(stated.probability)}" in out
    assert max(map(len, out.splitlines())) <= 116 + len(str(ASTRONAUT))


# Which class, which part, how much.


def test_the_class_to_compare_with_is_meant_by_index_name_and_other_capitals(decided):
    texts = {ran(decided, "--quick", "--against", against) for against in ("0", "class 0", "CLASS 0")}
    assert len(texts) == 1
    assert "\nclass 3 (3) against class 0 (0), under GAP (native)\n" in texts.pop()


def test_unless_it_is_named_it_is_the_likeliest_other_one(decided):
    order = sorted(range(4), key=lambda index: -ByHand(decided).logits[index])
    for requests, other in ((order[0], order[1]), (order[1], order[0]), (order[3], order[0])):
        out = ran(decided, "--quick", "--class", requests)
        assert f"\nclass {requests} ({requests}) against class {other} ({other}), under " in out


def test_the_true_class_is_the_rival_unless_one_is_named_and_has_its_rank_before_and_after(decided):
    hand = ByHand(decided)
    order = sorted(range(4), key=lambda index: -hand.logits[index])
    first, truth = order[0], order[2]
    out = ran(decided, "--quick", "--truth", truth, "--out", "out")
    assert f"\nclass {first} ({first}) against class {truth} ({truth}), under GAP (native)\n" in out
    numbers = percent(hand.shares()[truth]), f"{hand.logits[truth]:.2f}"
    assert (f"True class: class {truth}, rank 3 ({numbers[0]}, logit {numbers[1]}), "
            f"{hand.logits[first] - hand.logits[truth]:.2f} logits behind class {first}.") in out.splitlines()
    rows = table(section(out, "The true class"))
    assert rows[3] == ["as it is", "3", *numbers]
    assert len(rows) == 3 + 2 + len(TAKEN_OUT)
    assert (recorded("out")["why"]["truth"]["index"], recorded("out")["why"]["truth"]["rank"]) == (truth, 3)
    for arguments, rival in ((("--against", order[1]), order[1]), (("--class", truth), first)):
        out = ran(decided, "--quick", "--truth", truth, *arguments)
        assert f" against class {rival} ({rival}), under " in out
        assert "The true class" in out


@pytest.mark.parametrize(("arguments", "words"), [
    (["--against", "clas 9"], "near it: class"), (["--against", "qqqq"], "no class called 'qqqq'"),
    (["--against", "4"], "0 to 3"), (["--class", "-1"], "0 to 3"), (["--class", ""], "no class called ''"),
    (["--truth", "4"], "0 to 3"),
    (["--class", "1", "--against", "class 1"], "expected two different classes"),
    (["--region", "0,0,4,1"], "rows from 0 to 3 and columns from 0 to 3"), (["--region", "3,9,3,9"], "3,9,3,9"),
    (["--region", "0,0,3,3"], "All of the 16 positions"),
    (["--region", "1,1,1"], "four whole numbers"), (["--region", "2,1,1,1"], "before the last"),
    (["--region", "1,2,1,1"], "before the last"),
    (["--region", "a,b,c,d"], "four whole numbers"), (["--region", "-1,0,1,1"], "--region"),
    (["--region", "1,1,1,99999"], "four whole numbers"), (["--region", ""], "four whole numbers"),
    (["--pooling", "max"], "no pooling 'max'"), (["--framing", "wide"], "crop, whole, squash"),
    (["--size", "20"], "96 to 640"), (["--recipe", "some.json"], "--recipe"), (["--against"], "--against"),
    (["second.png"], "second.png"),
])
def test_a_wrong_option_is_answered_with_one_sentence_and_nothing_is_written(decided, tmp_path, arguments, words):
    assert words in refusal(started(decided, "why", "photo.png", "--quick", "--out", "out", *arguments))
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_a_photo_that_cannot_be_read_is_answered_with_one_sentence(decided, tmp_path):
    assert "photo" in refusal(started(decided, "why"))
    assert "nowhere.jpg" in refusal(started(decided, "why", "nowhere.jpg"))
    Path("note.jpg").write_text("not a photo")
    assert "photo" in refusal(started(decided, "why", "note.jpg"))
    Path("cut.png").write_bytes(Path("photo.png").read_bytes()[:300])
    assert "photo" in refusal(started(decided, "why", "cut.png"))
    assert "photo" in refusal(started(decided, "why", tmp_path))
    Path("taken").write_text("a file")
    assert "taken" in refusal(started(decided, "why", "photo.png", "--quick", "--out", "taken"))


def test_a_region_is_what_is_left_out_whatever_carries_the_evidence(decided):
    out = ran(decided, "--quick", "--region", "1,0,2,2", "--framing", "squash", "--out", "out")
    chosen = np.zeros((4, 4), bool)
    chosen[1:3, 0:3] = True
    lines = section(out, "Without this part")
    assert "  This part: the 6 of 16 positions from (1, 0) to (2, 2)." in lines
    hand = ByHand(decided, maps=maps_of(decided, PHOTO.resize((96, 96), Image.Resampling.BICUBIC), "squash"))
    held = sum(value for value, inside in zip(hand.cells(hand.answer), chosen.ravel(), strict=True) if inside)
    assert ["It holds", f"{held:+.2f}"] in [row[:2] for row in table(lines)]
    assert np.array(recorded("out")["why"]["probe"]["positions"], bool).tolist() == chosen.tolist()
    # All of the photo was seen: each position is a part of 32 x 24 px.
    inside = np.zeros((96, 128), bool)
    inside[24:72, 0:96] = True
    with Image.open("out/photo_why_without_mean.png") as filled:
        pixels, before = np.asarray(filled), np.asarray(PHOTO)
    assert (pixels[~inside] == before[~inside]).all()
    assert np.abs(pixels[inside] - before.reshape(-1, 3).mean(0)).max() <= 0.5
    with np.load("out/photo_why_arrays.npz") as arrays:
        assert arrays["probed"].tolist() == chosen.tolist()


def test_quick_leaves_out_what_takes_long_and_says_nothing_of_it(decided, make_network):
    before = decided.backbone.calls
    out = ran(decided, "--quick", "--out", "out")
    assert decided.backbone.calls - before <= 5
    assert not re.search("smallest|Changed a little|Stitched", out)
    result = recorded("out")["why"]
    assert [result[name] for name in SLOWLY] == [None] * 4
    assert result["why_not"] == dict.fromkeys(SLOWLY, "It was not asked for.")
    assert {path.name for path in Path("out").iterdir()} == QUICK_FILES
    with np.load("out/photo_why_arrays.npz", allow_pickle=False) as arrays:
        assert {"flip", "sufficient", "stitched", "coverage", "probabilities"}.isdisjoint(arrays.files)


# Terminals.


def test_letters_that_the_terminal_lacks_are_escaped(make_network):
    PHOTO.save("猫.png")
    cats = dataclasses.replace(make_network(), class_names=("猫", "chien − grand", "naïve", "…"))
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert started(cats, "why", "猫.png", "--quick", "--class", 0, out=terminal)[0] == 0
    text = terminal.buffer.getvalue().decode("ascii")
    assert text.startswith("\\u732b.png: 128 x 96 px")
    assert "Why \\u732b and not " in text
    # What every terminal can say otherwise is not escaped.
    assert "\\u2212" not in text
    assert "\\u2026" not in text


def test_long_wide_and_odd_names_break_neither_lines_nor_columns(make_network):
    names = ("猫" * 60, "long name " * 20, "line\nbreak\x1b[31m", "dots…")
    odd = dataclasses.replace(make_network(deciding_head()), class_names=names)
    for requests in range(4):
        out = ran(odd, "--quick", "--class", requests)
        assert "\x1b" not in out
        poolings = [line for line in section(out, "Without this part") + out.splitlines() if line.startswith("  G")]
        assert len(poolings) >= 6
        assert max(len(line) + line.count("猫") for line in out.splitlines() if "   " in line) <= 120
        # The logits of the three end below each other, whatever the names are.
        assert len({re.search(r"[+-]\d+\.\d\d", line).end() for line in poolings[:3]}) == 1


class Terminal(io.StringIO):
    """What somebody sees who sits before it: the lines, with what was written over."""

    def isatty(self) -> bool:
        return True

    def seen(self) -> str:
        lines = []
        for line in self.getvalue().split("\n"):
            shown = ""
            for part in line.split("\r"):
                shown = part + shown[len(part):]
            lines.append(shown.rstrip())
        return "\n".join(lines)


def test_how_far_it_is_is_one_line_that_is_gone_at_the_end(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_line() as progress:
        progress("Looking for something long", 3, 100)
        assert terminal.seen() == "Looking for something long: 3 of 100"
        progress("Short", 1, 2)
        assert terminal.seen() == "Short: 1 of 2"
    assert terminal.seen() == ""
    assert terminal.getvalue().endswith("\r"), "what comes next begins its line"
    assert "\n" not in terminal.getvalue()
    nobody = io.StringIO()
    monkeypatch.setattr(sys, "stderr", nobody)
    with progress_line() as progress:
        progress("Looking", 1, 2)
    assert nobody.getvalue() == ""


def test_how_far_each_search_is_is_told_to_whoever_sits_before_it(decided, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("explorer.terminal.options.load_from_options", lambda _: decided)
    monkeypatch.setattr(sys, "stderr", terminal)
    assert __main__.main(["why", "photo.png"]) == 0
    for what in ("Looking for the smallest change that flips it", "Looking for the smallest part that is enough",
                 "Changing the photo a little", "Shifting the photo"):
        (total,) = set(re.findall(rf"{what}: \d+ of (\d+)", terminal.getvalue()))
        assert f"{what}: {total} of {total}" in terminal.getvalue()
    assert terminal.seen() == ""


def test_the_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as end:
        __main__.main(["why", "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for word in ("--against", "--region", "--quick", "--report", "--out", "--class", "--pooling", "--framing", "--size",
                 "--network", "--checkpoint", "--calibrated", "_why.json"):
        assert word in text


# Networks of other kinds.


def test_a_checkpoint_of_ones_own_is_asked_too():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = squeezenet1_1(num_classes=3)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, "my.safetensors")
    Path("classes.txt").write_text("daisy\nrose\ntulip\n")
    own = ["--network", "squeezenet1_1", "--checkpoint", "my.safetensors", "--classes", "classes.txt", "--size", "96"]
    out = ran(None, "--quick", "--class", "tulip", "--against", "rose", *own, "--out", "out")
    assert "\ntulip (2) against rose (1), under GAP (native)\n" in out
    model.eval()
    with torch.no_grad():
        x = analyse(load_network("my.safetensors", architecture="squeezenet1_1"), PHOTO, short_side=96).input
        logits = model(x)[0].double()
    assert recorded("out")["why"]["contrast"]["difference"] == pytest.approx(float(logits[2] - logits[1]), abs=1e-4)


def test_one_logit_has_no_rival_and_is_told_so_in_a_sentence(make_network):
    one = dataclasses.replace(make_network(linear([[4.0, -3, 2, 5, 1]], [-1.0]), classes=1), activation="sigmoid")
    out = ran(one, "--out", "out")
    hand = ByHand(one)
    given = 1 / (1 + math.exp(-hand.logits[0]))
    assert section(out, "Why class 0")[1].strip().startswith(
        f"{'Above' if given > 0.5 else 'Not above'} 50%: class 0 ({percent(given)}). ")
    lines = section(out, "One class against the other")
    assert lines[1] == "  Tiny has one logit alone, so its class has no rival."
    assert "mean logit " in sentences(lines)
    (ignored,) = (row for row in table(section(out, "Without this part")) if row[0] == "Ignored by the pooling")
    assert re.fullmatch(r"\S+ to \S+; probability: \d+%", ignored[2])
    result = recorded("out")["why"]
    assert (result["rival"], result["contrast"], result["contrasts"]) == (None, None, [])
    assert result["why_not"] == {"contrasts": "Tiny has one logit alone, so its class has no rival."}
    with np.load("out/photo_why_arrays.npz") as arrays:
        assert arrays["rival"] == -1
        assert "difference" not in arrays.files
    assert "one logit alone" in refusal(started(one, "why", "photo.png", "--against", "0"))


def test_one_class_of_a_softmax_cannot_be_changed_and_is_told_so(make_network):
    out = ran(make_network(nn.Linear(5, 1), classes=1))
    reason = "  Tiny has one class alone, which is its answer whatever it sees."
    for title in ("The smallest change that flips it", "The smallest part that is enough"):
        assert section(out, title) == [title, reason]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_where_nothing_can_be_taken_apart_the_claims_are_tried_on_the_photo(activation):
    network = layered.network(pooled=False, activation=activation)
    out = ran(network, "--report", "--out", "out")
    logits = network.layers.logits(frame(PHOTO, network.preprocessing)[0])[0].double()
    first, second = logits.topk(2).indices.tolist()
    names = layered.CLASSES
    assert section(out, "Why")[0] == f"Why {names[first]} and not {names[second]}"
    assert f"{names[first]} ({first}) against {names[second]} ({second}), final feature maps (native)" in out
    for title in ("One class against the other", "Shifted by parts of a position"):
        assert sentences(section(out, title)) == f"{title} {layered.FLATTENS}"
    lines = section(out, "Without this part")
    assert "that hold half of the positive Grad-CAM" in sentences(lines)
    rows = table(lines)[-3:]
    assert [row[0].lower() for row in rows] == list(TAKEN_OUT.values())
    result = recorded("out")["why"]
    chosen = np.array(result["probe"]["positions"], bool)
    blurred = changed_photo(analyse(network, PHOTO), chosen, "blur")
    after = network.layers.logits(frame(blurred, network.preprocessing)[0])[0].double()
    assert rows[0][1] == f"{float(after[first] - logits[first]):+.2f}"
    assert result["contrast"] is None
    assert result["probe"]["held"] is None
    assert recorded("out")["recipe"]["pooling"] is None
    assert "pooling" in refusal(started(network, "why", "photo.png", "--pooling", "gmp"))


def test_one_position_alone_cannot_be_left_out_and_is_told_so(make_network):
    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3), keepdim=True)

    network = with_backbone(make_network(linear([[9.0, -3, 2], [1.0, 2, 3]], [0.0, 0.0]), classes=2), Mean())
    out = ran(network, "--quick", "--out", "out")
    assert section(out, "Without this part")[1].startswith("  There is no part of the photo to leave out")
    assert recorded("out")["why"]["why_not"]["probe"].startswith("There is no part of the photo to leave out")
    assert "One of 1" not in out


def test_without_positive_evidence_no_part_holds_half_of_it(make_network):
    network = make_network(linear([[-3.0] * 5, [-4.0] * 5], [1.0, 0.0]), classes=2)
    out = ran(network, "--quick", "--class", 0)
    assert "half of the positive evidence" not in out
    cells = ByHand(network).cells(0)
    lines = section(out, "Without this part")
    assert "  This part: the 1 of 16 positions where the evidence is largest." in lines
    assert ["It holds", f"{max(cells):+.2f}".replace("-0.00", "+0.00")] in [row[:2] for row in table(lines)]
    assert "No position favours class 1 over class 0." in sentences(section(out, "class 0 against class 1"))


def test_what_is_not_a_number_is_written_and_said_to_be_none(make_network):
    head = nn.Linear(5, 2)
    nn.init.constant_(head.weight, float("nan"))
    out = ran(make_network(head, classes=2), "--class", 1, "--report", "--out", "out")
    assert not re.search(r"\b(nan|inf)\b", out)
    lines = section(out, "class 1 against class 0")
    assert lines[1] == "  The difference is not a number at 16 of 16 positions."
    assert re.fullmatch(r"  difference not a number = baseline \S+ \+ evidence not a number; not exact, residual not "
                        r"a number", lines[2])
    assert "favours" not in out
    result = recorded("out")["why"]
    assert (result["contrast"]["difference"], result["contrast"]["cells"]) == (None, [[None] * 4] * 4)
