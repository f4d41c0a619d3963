"""The algebra in the browser beside Python: how far its numbers are off, and how long a change takes to be painted.

    python -m benchmarks.live

Numbers are compared for six photos by three networks, under every pooling at up to five parameters, for twenty
classes, and after twenty interventions. Times are from a change to the end of the frame that paints it, in Chromium.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from playwright.sync_api import Page, sync_playwright

from benchmarks.page import ROOT
from explorer import POOLINGS, Analysis, analyse, load_network, read_image
from explorer.analysis import Outcome
from explorer.live.data import network_data, photo_data
from explorer.live.scripts import PANEL, read
from explorer.networks import Network
from explorer.questions.intervention import Intervention
from tests.browser.chromium import ARGUMENTS, ensure

PARAMETERS = {"gem": (1, 2.5, 3, 10, 100), "lse": (0.05, 1, 3, 20, 100), "topk": (0.001, 0.1, 0.2, 0.55, 1),
              "mixed": (0, 0.25, 0.5, 0.9, 1), "attention": (0.01, 0.1, 0.5, 2, 10)}
CLASSES, INTERVENTIONS, STEPS = 20, 20, 40
LARGE = (2048, 14, 14)

READ = """async ({network, photo}) => {
  const live = await LiveNetwork.read({...network, ...photo}), F = await unpackExactly(photo.maps);
  window.live = new LiveMaps(live, F, photo.maps.shape);
}"""
_ASK = """({pooling, parameter, classes, change}) => {
  const maps = change ? live.changed(change) : live, outcome = maps.under(pooling, parameter ?? undefined);
  return {pooled: [...outcome.pooled], logits: [...outcome.logits], classes: classes.map((c) => {
    const {cells, channels} = outcome.evidence(c);
    return {cells: [...cells], channels: [...channels]};
  })};
}"""
_PANEL = """async ({network, photo}) => {
  const read = await LiveNetwork.read({...network, ...photo}), F = await unpackExactly(photo.maps);
  const image = new Image();
  image.src = photo.photo;
  await image.decode();
  page.photos.set("photo", image);
  document.body.replaceChildren(document.createElement("div"));
  window.panel = new LivePanel(document.body.firstChild);
  panel.show({network: read, maps: new LiveMaps(read, F, photo.maps.shape),
    photo: {key: "photo", name: "", size: photo.size, seen: photo.seen},
    state: {c: null, pooling: null, calibrated: true, change: ""}});
}"""
# Milliseconds from a change to the end of the frame that paints it.
_TIME = """async ({act, steps}) => {
  const times = [], acts = {
    class: (n) => panel.choose({c: n * 7 % panel.data.network.names.length}),
    "GeM's slider": (n) => panel.choose({pooling: "gem", parameter: 1 + n / 5}),
    "top-k's slider": (n) => panel.choose({pooling: "topk", parameter: 0.02 + n / 50}),
    "attention's slider": (n) => panel.choose({pooling: "attention", parameter: 0.02 + n / 50}),
    "LSE's slider": (n) => panel.choose({pooling: "lse", parameter: 0.1 + n / 3}),
    "a muted channel": (n) => panel.scale(n, 0, true),
    "a position": (n) => panel.ignore([n % panel.data.maps.rows, 1, n % panel.data.maps.rows, 1]),
  };
  panel.choose({pooling: panel.data.network.native.keys[0], parameter: undefined});
  for (let n = 0; n < steps; n++) {
    await new Promise((next) => setTimeout(next, 60));
    times.push(await new Promise((painted) => requestAnimationFrame(() => {
      const begin = performance.now(), {port1, port2} = new MessageChannel();
      port1.onmessage = () => painted(performance.now() - begin);
      acts[act](n);
      cancelAnimationFrame(panel.frame);
      panel.frame = null;
      panel.draw();
      port2.postMessage(0); // comes once this frame is painted
    })));
  }
  return times;
}"""


def normed(network: Network) -> Network:
    """The bundled network with a LayerNorm before its Linear."""
    norm = torch.nn.LayerNorm(1280)
    with torch.no_grad():
        norm.weight.copy_(torch.rand(1280, generator=torch.Generator().manual_seed(1)) + 0.5)
    return replace(network, head=torch.nn.Sequential(norm, network.head), digest="normed")


def analyses(network: Network) -> Iterator[Analysis]:
    """Six photos, in the three framings."""
    names = sorted((ROOT / "assets" / "examples").glob("*.jpg"))
    for n, name in enumerate((names * 6)[:6]):
        yield analyse(network, read_image(name), ("crop", "whole", "squash")[n % 3])


def difference(page: Page, outcome: Outcome, ask: dict) -> float:
    """The largest of all numbers, as a share of the largest logit; of pooled vectors, of their largest number."""
    answer = page.evaluate(_ASK, ask)
    scale, pooled = float(outcome.logits.abs().max()), outcome.pooled.numpy()
    off = [np.abs(answer["logits"] - outcome.logits.numpy()).max() / scale,
           np.abs(answer["pooled"] - pooled).max() / np.abs(pooled).max()]
    for index, own in zip(ask["classes"], answer["classes"], strict=True):
        evidence = outcome.evidence(index)
        off.append(np.abs(np.array(own["cells"]) - evidence.cells.numpy().ravel()).max() / scale)
        off.append(np.abs(np.array(own["channels"]) - evidence.channels.numpy()).max() / scale)
    return float(max(off))


def compare(page: Page, network: Network) -> tuple[float, float, float]:
    """The largest difference, that after interventions, and what 16 bits a weight alone may add."""
    draw, data = np.random.default_rng(0), network_data(network)
    plain, changed, rounding = 0.0, 0.0, 0.0
    for analysis in analyses(network):
        photo = photo_data(analysis, photo=False)
        page.evaluate(READ, {"network": data, "photo": photo})
        rounding = max(rounding, photo["rounding"] / float(analysis.under().logits.abs().max()))
        count = len(network.class_names)
        classes = draw.choice(count, min(CLASSES, count), replace=False).tolist()
        for key in network.poolings:
            for value in PARAMETERS.get(key, (None,)):
                parameters = {} if value is None else {POOLINGS[key].parameter.name: value}  # type: ignore[union-attr]
                ask = {"pooling": key, "parameter": value, "classes": classes}
                plain = max(plain, difference(page, analysis.under(key, **parameters), ask))
    channels, rows, columns = analysis.feature_maps.shape
    for n in range(INTERVENTIONS):
        factors = {int(k): float(draw.choice([0, 0.5, 2.5])) for k in draw.choice(channels, 1 + 8 * n, replace=False)}
        ignored = [divmod(int(at), columns) for at in draw.choice(rows * columns, n, replace=False)]
        key = list(network.poolings)[n % len(network.poolings)]
        ask = {"pooling": key, "parameter": None, "classes": classes,
               "change": {"channels": factors, "positions": [i * columns + j for i, j in ignored]}}
        after = Intervention(factors, frozenset(ignored)).on(analysis).under(key)
        changed = max(changed, difference(page, after, ask))
    return plain, changed, rounding


def large(bundled: Network) -> tuple[dict, dict]:
    """Data of made-up feature maps of 2,048 x 14 x 14 and a head of 1,000 classes."""
    head = torch.nn.Linear(LARGE[0], 1000)
    network = replace(bundled, head=head, digest="large", calibration=type(bundled.calibration)({}))
    analysis = analyse(bundled, read_image(ROOT / "assets" / "examples" / "cat.jpg"))
    maps = torch.randn(LARGE, generator=torch.Generator().manual_seed(0)).clamp_min(0)
    return network_data(network), photo_data(
        replace(analysis, network=network, feature_maps=maps, framing=analysis.framing.on_grid(*LARGE[1:])))


def main() -> None:
    bundled = load_network("efficientnet_lite0")
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=ensure(), args=ARGUMENTS).new_page()
        page.set_viewport_size({"width": 1280, "height": 800})
        page.add_script_tag(content=read(*PANEL))
        for network in (bundled, load_network("flowers"), normed(bundled)):
            plain, changed, rounding = compare(page, network)
            print(f"{network.title}, {network.digest[:8]}: differs by {plain:.1e}, after interventions {changed:.1e} "
                  f"of the largest logit; 16 bits a weight alone: {rounding:.1e}")
        cat = analyse(bundled, read_image(ROOT / "assets" / "examples" / "cat.jpg"))
        made = {"bundled": (network_data(bundled), photo_data(cat)), "2,048 x 14 x 14": large(bundled)}
        for name, (data, photo) in made.items():
            print(f"{name}: {len(json.dumps([data, photo])) / 1e6:.2f} MB of data")
            for act in ("class", "GeM's slider", "top-k's slider", "attention's slider", "LSE's slider",
                        "a muted channel", "a position"):
                page.evaluate(_PANEL, {"network": data, "photo": photo})
                times = np.array(page.evaluate(_TIME, {"act": act, "steps": STEPS}))
                print(f"  {act}: median {np.median(times):.1f} ms, 95% {np.quantile(times, 0.95):.1f} ms")


if __name__ == "__main__":
    main()
