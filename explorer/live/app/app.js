// Drop, choose or paste a photo: it is framed and run here, and `window.poolscopeLive.open` shows it.
import { startBackbone } from "./backbone.js";
import { frame } from "./framing.js";
import { readPhoto } from "./photo.js";
import "./show.js";

const find = (id) => document.getElementById(id);
const say = (text) => { find("says").textContent = text; };
const loading = fetch("network.json").then((response) => response.json());
const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MB`;
const backbone = startBackbone((loaded, total) => {
  find("loading").textContent = `Loading the network: ${megabytes(loaded)}${total ? ` of ${megabytes(total)}` : ""}`;
});
backbone.ready.then(() => { find("loading").textContent = "The network is ready."; },
  (error) => { find("loading").textContent = error.message; });
backbone.ready.then(() => navigator.serviceWorker?.register("offline.js")).catch(() => {}); // it works without, online

/**
 * What the network makes of a photo: an ImageBitmap or canvas.
 *
 * Gives {photo, name, maps: Float32Array, shape: [C, H, W], framing, times: {frame, run} in ms}.
 */
async function look(photo, name, kind = "crop", side = null) {
  const { preprocessing } = await loading, begin = performance.now();
  const { input, shape, framing } = frame(photo, preprocessing, kind, side), framed = performance.now();
  const { maps, shape: of } = await backbone.run(input, shape);
  return { photo, name, maps, shape: of, framing, times: { frame: framed - begin, run: performance.now() - framed } };
}

let newest = 0, last = null; // the photo that was dropped last is the one to show

/** A File or Blob from the visitor: read, framed, run and shown. Gives what `look` gives, null after a refusal. */
async function open(file, name = file.name) {
  const turn = (newest += 1), begin = performance.now();
  try {
    say(`Reading ${name} ...`);
    const photo = await readPhoto(file), read = performance.now() - begin;
    const seen = await look(photo, name, find("framing").value);
    last = [file, name];
    Object.assign(seen.times, { read, all: performance.now() - begin });
    if (turn !== newest) return null;
    const { shape, framing: { input_size: [w, h] }, times } = seen;
    say(`${name}: input ${w} x ${h} px, feature maps ${shape.join(" x ")}, ${Math.round(times.all)} ms.`);
    await window.poolscopeLive.open(seen, await loading);
    document.body.classList.add("open");
    return seen;
  } catch (error) {
    if (turn === newest) say(error.message);
    return null;
  }
}

const first = (transfer) => [...(transfer?.files ?? [])][0];
find("file").addEventListener("change", (event) => {
  if (event.target.files[0]) open(event.target.files[0]);
  event.target.value = ""; // the same file may be chosen again
});
find("framing").addEventListener("change", () => last && open(...last));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (first(event.dataTransfer)) open(first(event.dataTransfer));
});
document.addEventListener("paste", (event) => {
  if (first(event.clipboardData)) open(first(event.clipboardData), "the pasted photo");
});

window.poolscopeApp = { ready: backbone.ready, open, look };
