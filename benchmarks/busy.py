"""What an analysis takes beside other work, in times of what it takes on an idle machine, by either engine.

    python -m benchmarks.busy [--processes 4] [--rounds 30]

Torch has the threads that the app gives it (explorer/networks/engine.py). The busy processes count.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmarks.cost import PHOTO, THREE, timed, top_evidence
from explorer import analyse, load_network, read_image
from explorer.networks.engine import usual_threads


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that never wait, until the block ends."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def measure(engine: str, photo: Path, rounds: int) -> list[float]:
    """Sorted seconds of analyses with top-5 evidence under three poolings; the first three are not counted."""
    network, image = load_network(engine=engine), read_image(photo)
    return sorted([timed(lambda: top_evidence(analyse(network, image), THREE)) for _ in range(rounds + 3)][3:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(usual_threads())
    for engine in ("torch", "auto"):
        idle = measure(engine, PHOTO, options.rounds)
        with busy(options.processes):
            beside = measure(engine, PHOTO, options.rounds)
        low, high = statistics.median(idle), statistics.median(beside)
        print(f"{engine:6s} idle {1000 * low:5.1f} ms, beside {options.processes} busy processes {1000 * high:6.1f} ms "
              f"({high / low:.1f} times), p95 {1000 * beside[round(0.95 * (len(beside) - 1))]:6.1f} ms")


if __name__ == "__main__":
    main()
