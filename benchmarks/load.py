"""Many viewers at once: how long a page takes to follow each of them, beside a plain Streamlit page.

    python -m benchmarks.load [--seconds 30]

Each viewer is a session of its own, which chooses another class of Explore, thinks, and chooses again. What is timed is
a whole run of the page, from the request to its end. The plain page is served on the same machine, in the same run, to
as many viewers: the machine is slow, or its load is.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.page import CONTROL, ROOT, served
from benchmarks.visitors import Visitor

EXAMPLES = ("astronaut", "cat", "cat_and_coffee", "coffee", "photographer", "rocket")


async def viewer(url: str, number: int, think: float, until: float, photos: bool) -> list[float]:
    """Seconds of each run of one viewer, who begins somewhere within the first thought."""
    draw, times = random.Random(number), []
    example = EXAMPLES[number % len(EXAMPLES)]
    async with Visitor(url) as visitor:
        await visitor.visit(f"example={example}")
        await asyncio.sleep(draw.random() * think)
        while time.perf_counter() < until:
            begin = time.perf_counter()
            if photos:
                example = EXAMPLES[(EXAMPLES.index(example) + 1) % len(EXAMPLES)]
            times.append(await visitor.visit(f"example={example}&class={draw.randrange(1000)}"))
            await asyncio.sleep(max(0.0, think - (time.perf_counter() - begin)))
    return times


async def load(url: str, viewers: int, think: float, seconds: float, photos: bool = False) -> list[float]:
    """Seconds of all runs of so many viewers, those of the first visits left out."""
    until = time.perf_counter() + seconds
    parts = await asyncio.gather(*(viewer(url, number, think, until, photos) for number in range(viewers)))
    return [took for part in parts for took in part]


def report(name: str, served_by: psutil.Process, url: str, viewers: int, think: float, seconds: float) -> None:
    """Run one load and print what it took."""
    before, begin = sum(served_by.cpu_times()[:2]), time.perf_counter()
    times = asyncio.run(load(url, viewers, think, seconds))
    cpu, took = sum(served_by.cpu_times()[:2]) - before, time.perf_counter() - begin
    cuts = statistics.quantiles(times, n=20)
    print(f"{name:34s} {viewers:3d} viewers, {think:4.1f} s of thought: {1000 * cuts[9]:6.0f} ms p50 "
          f"{1000 * cuts[-1]:6.0f} ms p95 {len(times) / took:6.1f} runs a second "
          f"{1000 * cpu / len(times):5.0f} ms of CPU a run {served_by.memory_info().rss / 2**20:6.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        control = Path(name) / "control.py"
        control.write_text(CONTROL)
        with served(ROOT / "app.py", ROOT) as (ours, our_process), served(control, control.parent) as (plain, other):
            asyncio.run(load(ours, 1, 0.1, 5.0))
            asyncio.run(load(plain, 1, 0.1, 1.0))
            for viewers, think in ((1, 0.0), (20, 1.0), (20, 0.0), (50, 10.0)):
                report("a new class on Explore", psutil.Process(our_process), ours, viewers, think, options.seconds)
                report("the plain page", psutil.Process(other), plain, viewers, think, options.seconds / 3)


if __name__ == "__main__":
    main()
