"""What a scan of a folder costs, against a bare loop over the same photos; what it needs of memory; what a kill costs.

    python -m benchmarks.folder PHOTOS [--count 700] [--only speed|memory|kills]

The bare loop decodes, frames and runs the backbone in one thread. Loops and scans take turns in one run, so a slow or
busy machine changes the times and not the ratios.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from explorer import load_network, read_image
from explorer.folder import Run, scan, scanning
from explorer.folder.photos import list_photos
from explorer.framing import frame
from explorer.networks import Network

_THREADS = (1, 2, 3, 4)
_MEMORY = """
import resource, sys
from explorer.folder import scan
scan("efficientnet_lite0", sys.argv[1], sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
_KILLED = """
import sys
from explorer.folder import scan, scanning
scanning.SHARD_SECONDS = 1.0
scan("efficientnet_lite0", sys.argv[1], sys.argv[2])
"""


def linked(photos: list[Path], count: int, folder: Path) -> Path:
    """A folder of so many links to the photos, again and again."""
    folder.mkdir()
    for number in range(count):
        source = photos[number % len(photos)]
        (folder / f"{number:06d}{source.suffix}").symlink_to(source)
    return folder


def seconds(work: Callable[[], object]) -> float:
    """That it takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


@torch.no_grad()
def bare(network: Network, photos: list[Path]) -> None:
    """Decode, frame and one pass."""
    for photo in photos:
        network.engine(frame(read_image(photo), network.preprocessing)[0])


def speed(photos: list[Path], rounds: int) -> None:
    """Photos a second, and the ratios between scans and bare loops."""
    network = load_network("efficientnet_lite0")
    by_torch = load_network("efficientnet_lite0", engine="torch")

    def one_thread(of: Network) -> None:
        torch.set_num_threads(1)
        bare(of, photos)

    def scanned(threads: int) -> None:
        scanning.AHEAD = threads
        with tempfile.TemporaryDirectory() as out:
            scan(network, photos, Path(out) / "run")

    usual = scanning.AHEAD
    jobs: dict[str, Callable[[], object]] = {
        "bare loop": lambda: one_thread(network), "bare loop by torch": lambda: one_thread(by_torch),
        **{f"scan, {threads} threads ahead": lambda threads=threads: scanned(threads) for threads in _THREADS}}
    times: dict[str, list[float]] = {name: [] for name in jobs}
    bare(network, photos[:20])
    for _ in range(rounds):
        for name, job in jobs.items():
            times[name].append(seconds(job))
    first = statistics.median(times["bare loop"])
    print(f"{len(photos)} photos, median of {rounds}; a scan reads {usual} ahead by itself")
    for name, taken in times.items():
        middle = statistics.median(taken)
        print(f"{name:<24} {1000 * middle / len(photos):6.1f} ms a photo   {first / middle:5.2f} of the bare loop's "
              "rate")


def memory(photos: list[Path]) -> None:
    """Peak of a process that scans 100 photos, and of one that scans 10,000."""
    for count in (100, 10_000):
        with tempfile.TemporaryDirectory() as out:
            folder = linked(photos, count, Path(out) / "photos")
            done = subprocess.run([sys.executable, "-c", _MEMORY, folder, f"{out}/run"], capture_output=True, text=True,
                                  check=True)
            print(f"{count:,} photos: {int(done.stdout):,} MB at most")


def kills(photos: list[Path], times: int = 20) -> None:
    """Rows lost and rows twice after so many kills at random moments."""
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as out:
        folder = linked(photos, 60 * times, Path(out) / "photos")
        for _ in range(times):
            process = subprocess.Popen([sys.executable, "-c", _KILLED, folder, f"{out}/run"])
            time.sleep(draw.uniform(0.5, 14))
            process.send_signal(signal.SIGKILL)
            process.wait()
        run = Run.open(f"{out}/run")
        before = run.query("SELECT count(*) AS n FROM rows")["n"][0].as_py()
        scan("efficientnet_lite0", folder, f"{out}/run")
        rows = run.query("SELECT count(*) AS n, count(DISTINCT path) AS paths FROM rows").to_pylist()[0]
        print(f"{times} kills: {before:,} of {60 * times:,} rows by then; in the end "
              f"{60 * times - rows['paths']} lost, {rows['n'] - rows['paths']} twice")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=700)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("speed", "memory", "kills"))
    options = parser.parse_args()
    root, listed = list_photos(options.photos)
    photos = [root / path for path in listed["path"].to_pylist()][: options.count]
    for name, job in {"speed": lambda: speed(photos, options.rounds), "memory": lambda: memory(photos),
                      "kills": lambda: kills(photos)}.items():
        if options.only in (None, name):
            job()


if __name__ == "__main__":
    main()
