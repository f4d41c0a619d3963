"""A folder of photos: each row is what the photo alone gives, and nothing is lost or done twice."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from explorer import analyse, read_image
from explorer.__main__ import main
from explorer.errors import RunError, StoppedError
from explorer.folder import Run, scan
from explorer.folder.photos import class_indices, list_photos
from explorer.folder.rows import COLUMNS, places
from explorer.folder.sample import draw_sample
from explorer.folder.summary import by_class, calibration, confused, counts, mean_evidence, wrong
from explorer.networks import Network, load_network

EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"
TRUE = {"astronaut": "space shuttle", "cat": "tiger cat", "coffee": "espresso", "rocket": "missile"}


def draw(folder: Path, count: int, size: tuple[int, int] = (120, 90), first: int = 0) -> list[Path]:
    """So many small photos that all differ."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:04d}.png" for number in range(first, first + count)]
    for number, path in enumerate(paths, first):
        noise = np.random.default_rng(number).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
    return paths


def all_paths(run: Run) -> list[str]:
    return run.query("SELECT path FROM rows ORDER BY path")["path"].to_pylist()


# Which photos, and their labels.


def test_a_folder_gives_its_photos_in_order_and_the_folders_inside_are_their_labels(tmp_path):
    for path in ("b/2.jpg", "a/1.PNG", "a/x/3.webp", "0.jpeg", "b/notes.txt", ".hidden/4.jpg", "b/.5.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    root, listed = list_photos(tmp_path)
    assert root == tmp_path
    assert listed.select(["path", "label"]).to_pylist() == [
        {"path": "0.jpeg", "label": None}, {"path": "a/1.PNG", "label": "a"}, {"path": "a/x/3.webp", "label": "x"},
        {"path": "b/2.jpg", "label": "b"}]


def test_a_list_and_a_glob_begin_at_the_folder_that_all_share_and_name_each_photo_once(tmp_path):
    paths = draw(tmp_path / "a", 2) + draw(tmp_path / "b", 1)
    root, listed = list_photos([paths[2], str(paths[0]), paths[1], paths[0]])
    assert (root, listed["path"].to_pylist()) == (tmp_path, ["a/0000.png", "a/0001.png", "b/0000.png"])
    assert list_photos(str(tmp_path / "**" / "*.png"))[1].equals(listed)


@pytest.mark.parametrize("form", ["from the folder", "beside the file", "absolute", "parquet", "a dict"])
def test_labels_come_from_a_table_whose_paths_begin_anywhere(form, tmp_path):
    first, second = draw(tmp_path / "photos" / "a", 2)
    labels = tmp_path / "labels.csv"
    if form == "from the folder":
        labels.write_text("path,label\na/0000.png,cat\na/0001.png,\"dog, small\"\n")
    elif form == "beside the file":
        labels.write_text("file,what,more\nphotos/a/0000.png,cat,1\nphotos/a/0001.png,\"dog, small\",2\n")
    elif form == "absolute":
        labels.write_text(f"label,path\ncat,{first}\n\"dog, small\",{second}\n")
    elif form == "parquet":
        labels = tmp_path / "labels.parquet"
        import pyarrow as pa
        pq.write_table(pa.table({"path": ["a/0000.png", "a/0001.png"], "label": ["cat", "dog, small"]}), labels)
    else:
        labels = {"a/0000.png": "cat", str(second): "dog, small"}
    _, listed = list_photos(tmp_path / "photos", labels)
    assert listed["label"].to_pylist() == ["cat", "dog, small"]


def test_what_is_no_folder_no_photo_or_no_label_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(RunError, match="There is no folder"):
        list_photos(tmp_path / "nowhere")
    with pytest.raises(RunError, match="There are no photos"):
        list_photos(tmp_path)
    draw(tmp_path, 1)
    with pytest.raises(RunError, match="There are no labels"):
        list_photos(tmp_path, tmp_path / "labels.csv")
    (tmp_path / "labels.csv").write_text("path,label\nother.png,cat\n")
    with pytest.raises(RunError, match=r"No photo has a label: the labels are of 'other\.png'"):
        list_photos(tmp_path, tmp_path / "labels.csv")
    (tmp_path / "labels.csv").write_text("path\n0000.png\n")
    with pytest.raises(RunError, match="one column"):
        list_photos(tmp_path, tmp_path / "labels.csv")


def test_a_label_is_a_class_by_its_name_its_number_or_its_synset():
    assert class_indices(["Red_Rose", "tulip", "2", "9", "daisy"], ["tulip", "red rose", "oak"]) == {
        "Red_Rose": 1, "tulip": 0, "2": 2}
    assert class_indices(["pen", "0"], ["pen", "Pen"]) == {"0": 0}, "two classes of one name are known by number"
    names = load_network("efficientnet_lite0").class_names
    assert class_indices(["n02123159", "n01440764"], names) == {
        "n02123159": names.index("tiger cat"), "n01440764": names.index("tench")}


# Rows.


@pytest.fixture(scope="module")
def scanned(tmp_path_factory) -> Run:
    """The examples, a photo that is none, and labels for four of them, one of which no class has."""
    folder = tmp_path_factory.mktemp("folder")
    shutil.copytree(EXAMPLES, folder / "photos", ignore=lambda _, names: [n for n in names if not n.endswith(".jpg")])
    (folder / "photos" / "damaged.jpg").write_bytes(b"\xff\xd8\xff and no more")
    labels = {f"{name}.jpg": label for name, label in TRUE.items()} | {"photographer.jpg": "photographer"}
    return scan("efficientnet_lite0", folder / "photos", folder / "run", labels)


def check_row(row: dict, path: Path, network: Network, poolings: Sequence[str], label: str | None) -> None:
    """Each number of a row against what `analyse` gives for the photo alone."""
    image = read_image(path)
    analysis = analyse(network, image)
    outcome = analysis.under()
    logits = outcome.logits.numpy()
    best = np.argsort(-logits)[:5]
    shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    assert (row["width"], row["height"], row["error"]) == (*image.size, None)
    assert row["bytes"] == path.stat().st_size
    assert row["classes"] == best.tolist()
    assert row["answer"] == best[0]
    np.testing.assert_allclose([row["logit"], *row["logits"][1:]], logits[best], atol=1e-3)
    np.testing.assert_allclose(row["probabilities"], shares[best], atol=1e-4)
    evidence = outcome.evidence(int(best[0]))
    cells = evidence.cells.numpy()
    scale = np.abs(cells).max()
    np.testing.assert_allclose(np.reshape(row["evidence"], row["grid"]), cells, atol=2e-3 * scale)
    assert row["logit"] == pytest.approx(row["baseline"] + cells.sum() + row["residual"], abs=1e-3)
    np.testing.assert_allclose(row["pooled"], outcome.pooled.numpy(), rtol=2e-3, atol=1e-3)
    contributions = evidence.channels.numpy()
    np.testing.assert_allclose(row["contributions"], contributions[row["channels"]], rtol=2e-3, atol=1e-3)
    others = np.delete(np.abs(contributions), row["channels"])
    assert others.max() <= np.abs(row["contributions"]).min() + 1e-3
    assert row["pooling_classes"] == [int(analysis.under(key).logits.argmax()) for key in poolings]
    if label is not None:
        index = network.class_names.index(label)
        assert (row["label"], row["label_class"]) == (label, index)
        assert row["label_rank"] == 1 + (logits > logits[index]).sum()
        assert row["label_probability"] == pytest.approx(shares[index], abs=1e-4)
        np.testing.assert_allclose(np.reshape(row["label_evidence"], row["grid"]),
                                   outcome.evidence(index).cells.numpy(), atol=2e-3 * scale + 2e-3)


def test_each_number_of_a_row_is_what_the_photo_alone_gives(scanned, tmp_path):
    network = load_network("efficientnet_lite0")
    rows = {row["path"]: row for row in scanned.query("SELECT * FROM rows").to_pylist()}
    assert len(rows) == len(list(EXAMPLES.glob("*.jpg"))) + 1
    for path in EXAMPLES.glob("*.jpg"):
        check_row(rows[path.name], path, network, [choice.key for choice in scanned.poolings], TRUE.get(path.stem))
    draw_sample(tmp_path / "photos")  # 48 photos more, of other sizes
    run = scan(network, tmp_path / "photos", tmp_path / "run", poolings=["gmp"])
    for row in run.query("SELECT * FROM rows").to_pylist():
        check_row(row, run.photos / row["path"], network, ["gmp"], row["path"].split("/")[0])


def test_a_photo_that_cannot_be_read_is_a_row_with_its_sentence(scanned):
    (row,) = scanned.query("SELECT * FROM rows WHERE error IS NOT NULL").to_pylist()
    assert row["path"] == "damaged.jpg"
    assert row["error"].startswith("This JPEG file is damaged")
    assert row["answer"] is row["evidence"] is row["width"] is None


def test_brightness_and_sharpness_are_those_of_the_photo(tmp_path, make_network):
    levels = np.zeros((64, 64), np.uint8)
    levels[:, 32:] = 255
    for name, pixels in (("edge", levels), ("flat", np.full((64, 64), 51, np.uint8))):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    run = scan(make_network(), tmp_path, tmp_path / "run")
    flat, edge = (run.query(f"SELECT brightness, sharpness FROM rows WHERE path = '{name}.png'").to_pylist()[0]
                  for name in ("flat", "edge"))
    assert flat == {"brightness": pytest.approx(0.2), "sharpness": pytest.approx(0, abs=1e-9)}
    # Two columns of 64 differ from their neighbours, by +1 and -1: the mean of the squares is 2 / 64.
    assert edge == {"brightness": pytest.approx(0.5), "sharpness": pytest.approx(2 / 64)}


def test_places_of_evidence_by_hand():
    cells = np.zeros((4, 4))
    cells[0, 0], cells[1, 1], cells[2, 2], cells[3, 0] = 1, 2, 5, -9
    assert places(cells) == {"border": pytest.approx(1 / 8), "middle": pytest.approx(7 / 8), "spread": 2 / 16}
    seven = np.zeros((7, 7))
    seven[1, 3], seven[3, 3], seven[6, 6] = 4, 1, 5  # the second row lies a quarter inside
    assert places(seven)["middle"] == pytest.approx((4 / 4 + 1) / 10)
    assert places(-np.ones((3, 3))) == {"border": None, "middle": None, "spread": None}


def test_every_column_is_documented_in_docs():
    text = (EXAMPLES.parents[1] / "docs" / "folder.md").read_text()
    for column in COLUMNS:
        assert f"| `{column.name}` | {column.meaning} |" in text


# What the rows say together.


def test_the_counts_are_those_of_the_rows(scanned):
    rows = scanned.query("SELECT * FROM rows").to_pylist()
    judged = [row for row in rows if row["label_class"] is not None and row["answer"] is not None]
    numbers = counts(scanned)
    assert (numbers.photos, numbers.unreadable, numbers.labelled, numbers.unknown_labels) == (len(rows), 1, 5, 1)
    assert (numbers.judged, numbers.correct) == (4, sum(row["answer"] == row["label_class"] for row in judged))
    assert numbers.sure_and_wrong == sum(
        row["answer"] != row["label_class"] and row["probability"] >= 0.5 for row in judged)
    assert sum(pair["photos"] for pair in confused(scanned)) == numbers.judged - numbers.correct
    surest = wrong(scanned)
    assert {row["path"] for row in surest} == {row["path"] for row in judged if row["answer"] != row["label_class"]}
    assert [row["probability"] for row in surest] == sorted((row["probability"] for row in surest), reverse=True)
    assert sum(bin_["photos"] for bin_ in calibration(scanned)) == numbers.judged
    assert {row["label_class"] for row in by_class(scanned)} == {row["label_class"] for row in judged}
    expected = np.mean([np.reshape(row["evidence"], row["grid"]) for row in rows if row["evidence"]], axis=0)
    np.testing.assert_allclose(mean_evidence(scanned)[0], expected, atol=1e-6)


def test_the_terminal_scans_and_says_what_it_saw(tmp_path, capsys):
    shutil.copy(EXAMPLES / "cat.jpg", tmp_path / "cat.jpg")
    assert main(["folder", str(tmp_path), "--out", str(tmp_path / "run"), "--pooling", "gmp"]) == 0
    assert "1 photo, EfficientNet-Lite0" in capsys.readouterr().out
    assert Run.open(tmp_path / "run").recipe["poolings"] == ["gmp"]
    assert main(["folder", str(tmp_path), "--out", str(tmp_path / "run")]) == 2
    assert "was made with another poolings" in capsys.readouterr().err


# Nothing is lost, nothing twice.


def test_a_stopped_scan_goes_on_where_it_was(tmp_path, make_network):
    draw(tmp_path / "photos", 30)
    network, done = make_network(), []
    with pytest.raises(StoppedError, match=r"Stopped after 12 of 30 photos"):
        scan(network, tmp_path / "photos", tmp_path / "run", progress=lambda *at: done.append(at),
             stop=lambda: len(done) == 12)
    assert len(all_paths(Run.open(tmp_path / "run", network))) == 12
    run = scan(network, tmp_path / "photos", tmp_path / "run", progress=lambda *at: done.append(at))
    assert done[12:] == [(at, 30) for at in range(13, 31)]
    assert all_paths(run) == [f"{number:04d}.png" for number in range(30)]


def test_photos_and_labels_that_changed_are_done_again_and_new_ones_added(tmp_path, make_network):
    photos, network = tmp_path / "photos", make_network()
    paths = draw(photos, 8)
    labels = {path.name: "class 1" for path in paths}
    scan(network, photos, tmp_path / "run", labels)
    draw(photos, 1, (64, 200), first=3)
    draw(photos, 1, first=8)
    labels[paths[5].name] = "class 2"
    done = []
    run = scan(network, photos, tmp_path / "run", labels, progress=lambda *at: done.append(at))
    assert done == [(7, 9), (8, 9), (9, 9)]
    rows = {row["path"]: row for row in run.query("SELECT path, width, label_class FROM rows").to_pylist()}
    assert len(rows) == len(all_paths(run)) == 9
    assert (rows["0003.png"]["width"], rows["0004.png"]["width"]) == (64, 120)
    assert [rows[f"{n:04d}.png"]["label_class"] for n in (4, 5, 8)] == [1, 2, None]


KILLED = """
import sys
from explorer.folder import scanning
scanning.SHARD_ROWS = 3
scanning.scan("efficientnet_lite0", sys.argv[1], sys.argv[2], progress=lambda done, total: print(done, flush=True))
"""


def test_a_scan_killed_at_any_moment_goes_on_with_nothing_lost_and_nothing_twice(tmp_path):
    draw(tmp_path / "photos", 25)
    for after in (2, 4, 7):
        process = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path / "photos", tmp_path / "run"],
                                   stdout=subprocess.PIPE, text=True)
        for _ in range(after):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
    (tmp_path / "run" / "rows" / "000999.part").write_bytes(b"half written")
    run = scan("efficientnet_lite0", tmp_path / "photos", tmp_path / "run")
    assert all_paths(run) == [f"{number:04d}.png" for number in range(25)]
    assert not list((tmp_path / "run" / "rows").glob("*.part"))


def test_two_scans_do_not_write_to_one_run(tmp_path, make_network):
    draw(tmp_path / "photos", 3)
    network = make_network()

    def again(*_):
        with pytest.raises(RunError, match="Another scan is writing"):
            scan(network, tmp_path / "photos", tmp_path / "run")

    scan(network, tmp_path / "photos", tmp_path / "run", progress=again)


@pytest.mark.parametrize("choice", ["network", "framing", "poolings"])
def test_a_run_of_other_choices_is_refused_and_kept(choice, tmp_path, make_network):
    draw(tmp_path / "photos", 2)
    network = make_network()
    scan(network, tmp_path / "photos", tmp_path / "run")
    other = {"network": make_network(classes=3)} if choice == "network" else {"network": network}
    more = {"framing": {"framing": "squash"}, "poolings": {"poolings": ["gmp"]}}.get(choice, {})
    with pytest.raises(RunError, match="expected"):
        scan(other["network"], tmp_path / "photos", tmp_path / "run", **more)
    assert len(all_paths(Run.open(tmp_path / "run"))) == 2


def test_a_run_of_photos_below_another_folder_is_refused_or_its_rows_would_name_other_photos(tmp_path, make_network):
    network, (one, *_), (other, *_) = make_network(), draw(tmp_path / "a", 2), draw(tmp_path / "b", 2)
    scan(network, [one], tmp_path / "run")
    with pytest.raises(RunError, match="was made with another photos"):
        scan(network, [one, other], tmp_path / "run")  # all paths would begin one folder higher
    assert all_paths(Run.open(tmp_path / "run", network)) == ["0000.png"]


def test_a_folder_that_vanishes_and_a_full_disk_end_in_a_sentence_and_what_is_done_is_kept(tmp_path, make_network):
    photos, network, done = tmp_path / "photos", make_network(), []
    draw(photos, 40)

    def vanish(*at):
        done.append(at)
        if len(done) == 10:
            photos.rename(tmp_path / "elsewhere")

    with pytest.raises(RunError, match="is gone"):
        scan(network, photos, tmp_path / "run", progress=vanish)
    kept = len(all_paths(Run.open(tmp_path / "run", network)))
    assert kept >= 10
    assert Run.open(tmp_path / "run").query("SELECT count(error) AS wrong FROM rows")["wrong"].to_pylist() == [0]
    (tmp_path / "elsewhere").rename(photos)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))  # no file longer than that can be written
    try:
        with pytest.raises(RunError, match="cannot be written"):
            scan(network, photos, tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(all_paths(Run.open(tmp_path / "run", network))) == kept
    assert len(all_paths(scan(network, photos, tmp_path / "run"))) == 40


def test_a_run_opens_again_with_its_network_and_refuses_another(scanned, make_network, tmp_path):
    run = Run.open(scanned.path)
    assert run.network.digest == load_network("efficientnet_lite0").digest
    with pytest.raises(RunError, match="expected the run's own network"):
        Run.open(scanned.path, make_network())
    with pytest.raises(RunError, match="There is no run"):
        Run.open(tmp_path)
    with pytest.raises(RunError, match="The query failed"):
        run.query("SELECT nothing FROM rows")
    (tmp_path / "run.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(RunError, match="another format"):
        Run.open(tmp_path)


# On a cluster.


STARTS = "import ray; ray.init(num_cpus=1, include_dashboard=False); print(ray.get(ray.remote(lambda: 7).remote()))"


@pytest.fixture
def cluster():
    ray = pytest.importorskip("ray", reason="requirements-cluster.txt is not installed")
    try:  # in a process of its own: where it may not open sockets or shared memory, Ray waits without end
        subprocess.run([sys.executable, "-c", STARTS], timeout=150, check=True, capture_output=True)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"Ray does not start on this machine: {error}")
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.mark.timeout(600)
def test_ray_gives_the_same_rows_to_the_last_bit_also_when_an_actor_dies(cluster, tmp_path):
    draw(tmp_path / "photos", 150)
    here = scan("efficientnet_lite0", tmp_path / "photos", tmp_path / "here")
    killed = []

    def kill_one(done, _):
        if not killed:
            killed.extend(_kill_an_actor())

    there = scan("efficientnet_lite0", tmp_path / "photos", tmp_path / "there", engine="ray", progress=kill_one)
    assert killed
    one, other = (run.query("SELECT * FROM rows ORDER BY path") for run in (here, there))
    assert one.num_rows == 150
    assert one.equals(other)


def _kill_an_actor() -> list[int]:
    import psutil
    own = [process for process in psutil.process_iter(["name", "cmdline"])
           if any("MapWorker" in part for part in process.info["cmdline"] or [])]
    for process in own[:1]:
        os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.1)
    return [process.pid for process in own[:1]]
