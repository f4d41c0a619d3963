"""`python -m explorer why`: its lines say what comes out when it is computed again, and what there is none of."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import squeezenet1_1

from explorer import POOLINGS, __main__, analyse, read_image
from explorer.framing import frame
from explorer.networks import Network
from explorer.questions.edited_photo import FILLS, changed_photo
from explorer.terminal import why_command as why
from explorer.terminal.output import Progress
from explorer.wording import percent
from tests.explorer import layered
from tests.explorer.by_hand import (
    AGAINST,
    ASKED,
    CALIBRATION,
    FITTED,
    PHOTO,
    ByHand,
    carrying,
    chosen_of,
    deciding_head,
    maps_of,
    share,
)
from tests.explorer.tiny import linear, with_backbone
from tests.explorer.why_command import QUICK_FILES, SLOWLY, ran, recorded, refusal, section, sentences, started, table

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


@pytest.mark.parametrize(("key", "parameter"), [("gap", ()), ("gmp", ()), ("gem", (5.0,)), ("attention", (0.5,))])
def test_the_difference_its_places_and_its_channels_are_those_of_the_two_logits(decided, key, parameter):
    spelt = key + {"gem": ":p=5", "attention": ":t=0.5"}.get(key, "")
    out = ran(decided, "--quick", "--class", ASKED, "--against", AGAINST, "--pooling", spelt)
    name = POOLINGS[key].label(**({"gem": {"p": 5.0}, "attention": {"t": 0.5}}.get(key, {})))
    label = "native" if key == "gap" else "what-if"
    assert section(out, "Why")[0] == f"Why class {ASKED} ({ASKED}) and not class {AGAINST} ({AGAINST}), " \
                                     f"under {name} ({label})"
    hand, lines = ByHand(decided, key, *parameter), section(out, f"class {ASKED} against class {AGAINST}")
    difference, baseline, sign, evidence, residual = re.fullmatch(
        r"  difference (\S+) = baseline (\S+) ([+-]) evidence (\S+) \(exact, residual (\S+)\)", lines[1]).groups()
    apart = hand.apart(ASKED, AGAINST)
    assert float(difference) == pytest.approx(hand.logits[ASKED] - hand.logits[AGAINST], abs=6e-4)
    assert float(baseline) == pytest.approx(hand.biases[ASKED] - hand.biases[AGAINST], abs=6e-4)
    assert float(sign + evidence) == pytest.approx(sum(apart), abs=6e-4)
    assert float(residual) < 1e-4

    words = sentences(lines[2:lines.index("  The channels that decide:")])
    found = re.findall(r"(\w+) of 16 positions, [a-z ]+, (carry|carries) (\d+%) of what speaks for class (\d) rather "
                       r"than class (\d)\.", words)
    assert [(each[3], each[4]) for each in found] == [(str(ASKED), str(AGAINST)), (str(AGAINST), str(ASKED))]
    for (count, _, held, _, _), values in zip(found, (apart, [-value for value in apart]), strict=True):
        places = carrying(values)
        assert count == ("One", "Two", "Three", "Four", "Five", "Six", "Seven")[len(places) - 1]
        assert held == share(sum(values[place] for place in places), values)

    head, *rows = table(lines[lines.index("  The channels that decide:") + 1:])
    assert head == ["channel", "pooled", f"to class {ASKED}", f"to class {AGAINST}", "difference"]
    each = [(k, hand.pooled[k], hand.rows[ASKED][k] * hand.pooled[k], hand.rows[AGAINST][k] * hand.pooled[k])
            for k in range(5)]
    each.sort(key=lambda row: -abs(row[2] - row[3]))
    assert rows == [[str(k), f"{y:.2f}", f"{one:+.2f}", f"{other:+.2f}", f"{one - other:+.2f}"]
                    for k, y, one, other in each]


@pytest.mark.parametrize("calibrated", [False, True])
def test_under_each_pooling_there_is_the_difference_as_the_head_gives_it_and_its_answer(decided, calibrated):
    out = ran(decided, "--quick", *(["--calibrated"] if calibrated else []))
    title, head, *rows = section(out, "The same difference under each pooling")
    assert title.endswith("; the differences are of logits as the head gives them") == calibrated
    assert table([head]) == [["difference", "its answer"]]
    own = ByHand(decided)
    rival = sorted(range(4), key=lambda index: -own.logits[index])[1]
    wanted = []
    for key, pooling in POOLINGS.items():
        hand = ByHand(decided, key)
        factor = FITTED.get(key) if calibrated else None
        label = "native" if key == "gap" else "what-if" + (", calibrated" if factor else "")
        wanted.append([pooling.label(), label, f"{hand.logits[own.answer] - hand.logits[rival]:+.2f}",
                       f"class {hand.answer}", percent(max(hand.shares(factor or 1.0)))])
    assert table(rows) == wanted


def test_without_a_part_there_is_what_it_held_what_the_pooling_makes_of_the_rest_and_what_each_fill_does(decided):
    out = ran(decided, "--quick", "--class", ASKED)
    hand = ByHand(decided)
    places = carrying(hand.cells(ASKED))
    lines = section(out, f"Without the {len(places)} of 16 positions that carry half of what speaks for it")
    assert lines[1] == f"  What becomes of the logit of class {ASKED}, {hand.logits[ASKED]:.2f}:"
    part = sum(hand.cells(ASKED)[place] for place in places)
    rest = [[[value for place, value in enumerate(chain(*one)) if place not in places]] for one in hand.maps]
    ways = {"ignored by the pooling": ByHand(decided, maps=rest)}
    picture = {fill: changed_photo(analyse(decided, PHOTO), chosen_of(places), fill) for fill in FILLS}
    ways |= {FILLS[fill]: ByHand(decided, maps=maps_of(decided, each)) for fill, each in picture.items()}
    assert table(lines[2:7]) == [
        ["it holds", f"{part:+.2f}", f"{share(part, hand.cells(ASKED))} of what speaks for class {ASKED}"],
        *([name, f"{way.logits[ASKED] - hand.logits[ASKED]:+.2f}",
           f"it says class {way.answer}, {percent(max(way.shares()))}"] for name, way in ways.items())]
    fallen = hand.logits[ASKED] - ways[FILLS["blur"]].logits[ASKED]
    assert sentences(lines[7:]).startswith(
        f"This part holds {part:.2f} logits of evidence for class {ASKED}. Once it is blurred, the logit "
        f"{'falls' if fallen > 0 else 'rises'} by {abs(fallen):.2f}: ")


def test_what_flips_it_and_what_is_enough_do_so_when_the_photo_is_made_by_hand(decided, whole):
    out, folder = whole
    answer, found = ByHand(decided).answer, recorded(folder)["why"]
    for name, title, opening, verb in (
        ("flip", "The smallest change that flips it", "With", "it says"),
        ("sufficient", "The smallest part that is enough", "With all but", "it still says"),
    ):
        one = found[name]
        chosen = np.array(one["positions"], bool)
        taken = chosen if name == "flip" else ~chosen
        hand = ByHand(decided, maps=maps_of(decided, changed_photo(analyse(decided, PHOTO), taken, "blur")))
        assert (hand.answer == answer) == (name == "sufficient")
        said = f"{opening} {chosen.sum()} of 16 positions ({percent(chosen.sum() / 16)}) blurred {verb} class " \
               f"{hand.answer}, {percent(max(hand.shares()))}."
        lines = section(out, "The smallest change that flips it")
        at = lines.index(title)
        assert sentences(lines[at + 1 : at + 2]) == f"{said} {one['passes']:,} inputs were run."
        assert one["sentence"] == said
        with Image.open(folder / f"photo_why_{name}.png") as written:
            assert ByHand(decided, maps=maps_of(decided, written)).logits == pytest.approx(hand.logits)


def test_how_stable_it_is_is_counted_over_the_variants_of_the_record(decided, whole):
    out, folder = whole
    title, *lines = section(out, "Changed a little")
    assert title == "Changed a little (shift, flip, scale, brightness, jpeg, crop)"
    text, under = sentences(lines), recorded(folder)["why"]["stability"]["under"]
    assert [each["key"] for each in under] == ["gap", "gmp", "attention"]
    asked = ByHand(decided).answer
    for each in under:
        own, variants = each["original"], each["variants"]
        hand = ByHand(decided, each["key"])
        assert own["probability"] == pytest.approx(hand.shares()[asked], abs=1e-5)
        assert own["answer"] == hand.answer
        stays = sum(row["answer"] == own["answer"] for row in variants)
        shares = [row["probability"] for row in (own, *variants)]
        moved = [row["moved"] for row in variants if row["moved"] is not None]
        stayed = f"stays in {stays} of {len(variants)} variants; " if stays < len(variants) else (
            f"stays in all {len(variants)} variants. ")
        assert f"{each['name']}: The answer {stayed}" in text
        assert (f"Its probability lies between {percent(min(shares))} and {percent(max(shares))}, and its evidence "
                f"moves by at most {max(moved):.1f} positions.") in text
        mirrored = ByHand(decided, each["key"], maps=maps_of(decided, PHOTO.transpose(Image.FLIP_LEFT_RIGHT)))
        (row,) = (row for row in variants if row["variation"] == "flip")
        assert (row["answer"], row["label"]) == (mirrored.answer, "mirroring")
        assert row["logit"] == pytest.approx(mirrored.logits[asked], abs=1e-5)


def test_shifted_by_parts_of_a_position_it_is_the_mean_of_the_photos_that_were_moved_by_hand(decided, whole):
    out, folder = whole
    lines, found = section(out, "Shifted by parts of a position"), recorded(folder)["why"]["stitched"]
    assert lines[0].endswith("stitched to 16 x 16 places")
    x = frame(PHOTO, decided.preprocessing)[0][0]
    own = ByHand(decided)
    first, second = sorted(range(4), key=lambda index: -own.logits[index])[:2]
    apart = []
    for down, right in found["shifts"]:
        rows, columns = ([min(max(n - by, 0), 95) for n in range(96)] for by in (down, right))
        with torch.no_grad():
            maps = decided.backbone(x[:, rows][:, :, columns][None])[0].double().tolist()
        logits = ByHand(decided, maps=maps).logits
        apart.append(logits[first] - logits[second])
    assert found["logits"] == pytest.approx(apart, abs=1e-4)
    mean, baseline, evidence, outside, low, high = map(float, re.search(
        r"mean difference (\S+) = baseline (\S+), evidence (\S+), outside (\S+) \(exact, .*\); of 16 shifts from (\S+) "
        r"to (\S+)", sentences(lines[1:])).groups())
    assert (mean, low, high) == pytest.approx((sum(apart) / 16, min(apart), max(apart)), abs=6e-3)
    assert baseline + evidence + outside == pytest.approx(mean, abs=0.016)
    assert sum(chain(*found["cells"])) == pytest.approx(found["evidence"])


def test_the_bundled_network_is_asked_all_of_it(network, tmp_path):
    code, out, err = started(network, "why", ASTRONAUT, "--size", 128, "--against", "bobsled", "--out", tmp_path)
    assert (code, err) == (0, "")
    record = json.loads((tmp_path / "astronaut_why.json").read_text())
    found, analysis = record["why"], analyse(network, read_image(ASTRONAUT), short_side=128)
    logits = network.head(analysis.feature_maps.mean((1, 2))[None])[0].double()
    mine = int(logits.argmax())
    assert found["contrast"]["difference"] == pytest.approx(float(logits[mine] - logits[450]), abs=1e-4)
    cells, baseline = np.array(found["contrast"]["cells"]), found["contrast"]["baseline"]
    assert baseline + cells.sum() == pytest.approx(float(logits[mine] - logits[450]), abs=1e-3)
    for name in ("flip", "sufficient"):
        chosen = np.array(found[name]["positions"], bool)
        changed = changed_photo(analysis, chosen if name == "flip" else ~chosen, "blur")
        said = analyse(network, changed, short_side=128).under().top(1)[0]
        assert (said.class_index == mine) == (name == "sufficient")
        assert f"{said.name}, {percent(said.probability)}" in out
    assert max(map(len, out.splitlines())) <= 116 + len(str(ASTRONAUT))


# Which class, which part, how much.


def test_the_class_to_compare_with_is_meant_by_index_name_and_other_capitals(decided):
    texts = {ran(decided, "--quick", "--against", against) for against in ("0", "class 0", "CLASS 0")}
    assert len(texts) == 1
    assert "\nWhy class 3 (3) and not class 0 (0), under GAP (native)\n" in texts.pop()


def test_unless_it_is_named_it_is_the_likeliest_other_one(decided):
    order = sorted(range(4), key=lambda index: -ByHand(decided).logits[index])
    for asked, other in ((order[0], order[1]), (order[1], order[0]), (order[3], order[0])):
        out = ran(decided, "--quick", "--class", asked)
        assert f"\nWhy class {asked} ({asked}) and not class {other} ({other}), under " in out


@pytest.mark.parametrize(("arguments", "words"), [
    (["--against", "clas 9"], "near it: class"), (["--against", "qqqq"], "no class called 'qqqq'"),
    (["--against", "4"], "0 to 3"), (["--class", "-1"], "0 to 3"), (["--class", ""], "no class called ''"),
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
    lines = section(out, "Without the 6 of 16 positions from row 1, column 0 to row 2, column 2")
    hand = ByHand(decided, maps=maps_of(decided, PHOTO.resize((96, 96), Image.Resampling.BICUBIC), "squash"))
    held = sum(value for value, inside in zip(hand.cells(hand.answer), chosen.ravel(), strict=True) if inside)
    assert table(lines[2:3])[0][:2] == ["it holds", f"{held:+.2f}"]
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
    assert not re.search("smallest|Changed a little|Shifted", out)
    found = recorded("out")["why"]
    assert [found[name] for name in SLOWLY] == [None] * 4
    assert found["why_not"] == dict.fromkeys(SLOWLY, "It was not asked for.")
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
    assert "Why \\u732b (0) and not " in text
    # What every terminal can say otherwise is not escaped.
    assert "\\u2212" not in text
    assert "\\u2026" not in text


def test_long_wide_and_odd_names_break_neither_lines_nor_columns(make_network):
    names = ("猫" * 60, "long name " * 20, "line\nbreak\x1b[31m", "dots…")
    odd = dataclasses.replace(make_network(deciding_head()), class_names=names)
    for asked in range(4):
        out = ran(odd, "--quick", "--class", asked)
        assert "\x1b" not in out
        channels = out.split("  The channels that decide:\n")[1].split("\n\n")[0].splitlines()
        for lines in (section(out, "The same difference under each pooling")[2:], channels):
            (width,) = {len(line) + line.count("猫") for line in lines}  # all end below each other
            assert width <= 120


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


def test_how_far_it_is_is_one_line_that_is_gone_at_the_end():
    terminal = Terminal()
    with Progress(terminal) as progress:
        progress("Looking for something long", 3, 100)
        assert terminal.seen() == "Looking for something long: 3 of 100"
        progress("Short", 1, 2)
        assert terminal.seen() == "Short: 1 of 2"
    assert terminal.seen() == ""
    assert terminal.getvalue().endswith("\r"), "what comes next begins its line"
    assert "\n" not in terminal.getvalue()
    nobody = io.StringIO()
    with Progress(nobody) as progress:
        progress("Looking", 1, 2)
    assert nobody.getvalue() == ""


def test_how_far_each_search_is_is_told_to_whoever_sits_before_it(decided, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(why, "load_from_options", lambda _: decided)
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
    assert "\nWhy tulip (2) and not rose (1), under GAP (native)\n" in out
    model.eval()
    with torch.no_grad():
        x = analyse(why.load_from_options(why.options_of(why._parser().parse_args(["photo.png", *own]))), PHOTO,
                    short_side=96).input
        logits = model(x)[0].double()
    assert recorded("out")["why"]["contrast"]["difference"] == pytest.approx(float(logits[2] - logits[1]), abs=1e-4)


def test_one_logit_has_no_rival_and_is_told_so_in_a_sentence(make_network):
    one = dataclasses.replace(make_network(linear([[4.0, -3, 2, 5, 1]], [-1.0]), classes=1), activation="sigmoid")
    out = ran(one, "--out", "out")
    hand = ByHand(one)
    given = 1 / (1 + math.exp(-hand.logits[0]))
    assert section(out, "Why class 0 (0), under GAP (native)")[1].startswith(
        f"It {'finds' if given > 0.5 else 'does not find'} class 0 ({percent(given)}). ")
    assert section(out, "A against B") == ["A against B", "  Tiny has one logit alone, so its class has no rival."]
    ignored = table(section(out, "Without the ")[2:])[1]
    assert ignored[0] == "ignored by the pooling"
    assert re.fullmatch(r"it gives class 0, \d+%", ignored[2])
    assert "mean logit " in sentences(section(out, "Shifted by parts"))
    found = recorded("out")["why"]
    assert (found["rival"], found["contrast"], found["contrasts"]) == (None, None, [])
    assert found["why_not"] == {"contrasts": "Tiny has one logit alone, so its class has no rival."}
    with np.load("out/photo_why_arrays.npz") as arrays:
        assert arrays["rival"] == -1
        assert "difference" not in arrays.files
    assert "one logit alone" in refusal(started(one, "why", "photo.png", "--against", "0"))


def test_one_class_of_a_softmax_cannot_be_changed_and_is_told_so(make_network):
    out = ran(make_network(nn.Linear(5, 1), classes=1))
    reason = "  Tiny has one class alone, which is its answer whatever it sees."
    assert section(out, "The smallest change that flips it") == [
        "The smallest change that flips it", reason, "The smallest part that is enough", reason]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_where_nothing_can_be_taken_apart_the_claims_are_tried_on_the_photo(activation):
    network = layered.network(pooled=False, activation=activation)
    out = ran(network, "--report", "--out", "out")
    logits = network.layers.logits(frame(PHOTO, network.preprocessing)[0])[0].double()
    first, second = logits.topk(2).indices.tolist()
    names = layered.CLASSES
    assert section(out, "Why")[0] == f"Why {names[first]} ({first}) and not {names[second]} ({second}), by final " \
                                     "feature maps"
    for title in ("A against B", "Shifted by parts of a position"):
        assert sentences(section(out, title)) == f"{title} {layered.FLATTENS}"
    lines = section(out, "Without the ")
    assert f"that carry half of what is positive in Grad-CAM of {names[first]}" in lines[0]
    rows = table(lines[2:])
    assert [row[0] for row in rows] == list(FILLS.values())
    found = recorded("out")["why"]
    chosen = np.array(found["probe"]["positions"], bool)
    blurred = changed_photo(analyse(network, PHOTO), chosen, "blur")
    after = network.layers.logits(frame(blurred, network.preprocessing)[0])[0].double()
    assert rows[0][1] == f"{float(after[first] - logits[first]):+.2f}"
    assert found["contrast"] is None
    assert found["probe"]["held"] is None
    assert recorded("out")["recipe"]["pooling"] is None
    assert "pooling" in refusal(started(network, "why", "photo.png", "--pooling", "gmp"))


def test_one_position_alone_cannot_be_left_out_and_is_told_so(make_network):
    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3), keepdim=True)

    network = with_backbone(make_network(linear([[9.0, -3, 2], [1.0, 2, 3]], [0.0, 0.0]), classes=2), Mean())
    out = ran(network, "--quick", "--out", "out")
    assert sentences(section(out, "Without a part")).startswith("Without a part There is no part of the photo to ")
    assert recorded("out")["why"]["why_not"]["probe"].startswith("There is no part of the photo to leave out")
    assert "One of 1" not in out


def test_where_nothing_speaks_for_it_the_part_is_not_said_to_carry_what_does(make_network):
    network = make_network(linear([[-3.0] * 5, [-4.0] * 5], [1.0, 0.0]), classes=2)
    out = ran(network, "--quick", "--class", 0)
    assert "carry half of what speaks for it" not in out
    cells = ByHand(network).cells(0)
    lines = section(out, "Without the 1 of 16 positions where its evidence is largest")
    assert table(lines[2:3])[0][:2] == ["it holds", f"{max(cells):+.2f}".replace("-0.00", "+0.00")]
    against = sentences(section(out, "class 0 against class 1"))
    assert "Nothing on the photo speaks for class 1 rather than class 0." in against
    assert "all evidence for this class" not in against


def test_what_is_not_a_number_is_written_and_said_to_be_none(make_network):
    head = nn.Linear(5, 2)
    nn.init.constant_(head.weight, float("nan"))
    out = ran(make_network(head, classes=2), "--class", 1, "--report", "--out", "out")
    assert not re.search(r"\b(nan|inf)\b", out)
    lines = section(out, "class 1 against class 0")
    assert re.fullmatch(r"  difference not a number = baseline \S+ \+ evidence not a number \(exact, residual not a "
                        r"number\)", lines[1])
    assert lines[2] == "  The difference is not a number at 16 of 16 positions."
    assert "speaks for" not in out
    found = recorded("out")["why"]
    assert (found["contrast"]["difference"], found["contrast"]["cells"]) == (None, [[None] * 4] * 4)
