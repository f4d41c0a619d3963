"""Many viewers at once: how long a page takes to follow each of them, beside a plain Streamlit page.

    python -m benchmarks.load [--seconds 30]

Each viewer is a session of its own, which chooses another class of Explore, thinks, and chooses again. What is timed is
a whole run of the page, from the request to its end. The plain page is served on the same machine, in the same run, to
as many viewers: the machine is slow, or its load is. At the end twenty drop in a photo each at the same moment.
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
from benchmarks.soak import photo
from benchmarks.visitors import Visitor

EXAMPLES = ("astronaut", "cat", "cat_and_coffee", "coffee", "photographer", "rocket")


async def viewer(url: str, number: int, think: float, seconds: float, all_here: asyncio.Barrier) -> list[float]:
    """Seconds of each run of one viewer, once all have made their first visit; who clicks first is drawn."""
    draw, times = random.Random(number), []
    async with Visitor(url) as visitor:
        await visitor.visit(f"example={EXAMPLES[number % len(EXAMPLES)]}")
        await all_here.wait()
        until = time.perf_counter() + seconds
        await asyncio.sleep(draw.random() * min(think, seconds))
        while not times or time.perf_counter() < until:
            begin = time.perf_counter()
            times.append(await visitor.visit(f"class={draw.randrange(1000)}"))
            await asyncio.sleep(max(0.0, think - (time.perf_counter() - begin)))
    return times


async def load(url: str, server: psutil.Process, viewers: int, think: float, seconds: float
               ) -> tuple[list[float], float, float]:
    """Seconds of all runs of so many viewers; seconds that all took together, and of the server's processor."""
    all_here = asyncio.Barrier(viewers + 1)
    runs = asyncio.gather(*(viewer(url, number, think, seconds, all_here) for number in range(viewers)))
    await all_here.wait()
    begin, before = time.perf_counter(), sum(server.cpu_times()[:2])
    times = [took for part in await runs for took in part]
    return times, time.perf_counter() - begin, sum(server.cpu_times()[:2]) - before


async def next_photo(url: str, number: int, all_here: asyncio.Barrier) -> float:
    """Seconds from the name of a photo of 1600 x 1200 px to the end of the page's run, for one of many at once."""
    async with Visitor(url) as visitor:
        await visitor.visit(f"example={EXAMPLES[number % len(EXAMPLES)]}")
        data = await asyncio.to_thread(photo, 4 * number + 1)
        await all_here.wait()
        return await visitor.upload(f"photo{number}.jpg", data)


async def next_photos(url: str, viewers: int) -> list[float]:
    """Seconds of each of so many viewers who drop in a photo at the same moment, the fastest first."""
    all_here = asyncio.Barrier(viewers)
    return sorted(await asyncio.gather(*(next_photo(url, number, all_here) for number in range(viewers))))


def report(name: str, server: psutil.Process, url: str, viewers: int, think: float, seconds: float) -> None:
    """Run one load and print what it took."""
    times, took, cpu = asyncio.run(load(url, server, viewers, think, seconds))
    cuts = statistics.quantiles(times, n=20, method="inclusive")
    print(f"{name:22s} {viewers:3d} viewers, {think:4.1f} s of thought: {1000 * cuts[9]:6.0f} ms p50 "
          f"{1000 * cuts[-1]:6.0f} ms p95 {len(times) / took:6.1f} runs a second "
          f"{1000 * cpu / len(times):5.0f} ms of CPU a run {server.memory_info().rss / 2**20:6.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        control = Path(name) / "control.py"
        control.write_text(CONTROL)
        with (served(ROOT / "app.py", ROOT, "--server.enableXsrfProtection", "false") as (ours, pid),
              served(control, control.parent) as (plain, other_pid)):
            app, other = psutil.Process(pid), psutil.Process(other_pid)
            asyncio.run(load(ours, app, 1, 0.1, 5.0))
            asyncio.run(load(plain, other, 1, 0.1, 1.0))
            for viewers, think in ((1, 0.0), (20, 1.0), (20, 0.0), (50, 10.0)):
                report("a new class on Explore", app, ours, viewers, think, options.seconds)
                report("the plain page", other, plain, viewers, think, options.seconds)
            times = asyncio.run(next_photos(ours, 20))
            print(f"the next photo of 20 viewers at once: {1000 * statistics.median(times):.0f} ms p50 "
                  f"{1000 * times[-2]:.0f} ms p95")


if __name__ == "__main__":
    main()
