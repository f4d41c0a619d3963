// What the parts of a page share: one store, unpacked numbers, colours, words. library.py puts it in front of them.
const page = (window.poolscope ??= {
  bus: new EventTarget(), parts: {}, photos: new Map(), stacks: new Map(), packs: new Map(), hover: null, view: null,
});
const emit = (name, detail) => page.bus.dispatchEvent(new CustomEvent(name, { detail }));

/** Listen as long as an element is on the page: pages come and go, and must not stay in memory. */
function whileShown(element, target, name, act, capture = false) {
  const listening = new AbortController();
  let shown = false;
  target.addEventListener(name, (event) => {
    if (element.isConnected) { shown = true; act(event); } else if (shown) listening.abort();
  }, { signal: listening.signal, capture });
}

/** Keep the newest few: a session may go through hundreds of photos. */
function keep(store, key, value, most = 6) {
  store.delete(key);
  store.set(key, value);
  for (const old of [...store.keys()].slice(0, -most)) store.delete(old);
}

/** Deflated bytes in base64 to an ArrayBuffer. */
function inflate(text) {
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let k = 0; k < bytes.length; k++) bytes[k] = letters.charCodeAt(k); // a head has millions: a callback each is slow
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
}
/** {shape, data} to its numbers in single precision. */
const unpackExactly = async ({ data }) => new Float32Array(await inflate(data));

/** {shape: [n, H, W], data, low, high} to {n, rows, columns, at(i): Float32Array}; what was not finite is NaN. */
async function unpack({ shape: [n, rows, columns], data, low, high }) {
  const levels = new DataView(await inflate(data));
  const size = rows * columns, known = new Map();
  const read = (i) => {
    const values = new Float32Array(size), least = low[i], span = high[i] - low[i];
    for (let k = 0, from = 2 * i * size; k < size; k++) {
      const level = levels.getUint16(from + 2 * k, true);
      values[k] = level === 65535 ? NaN : least + (level / 65534) * span;
    }
    return values;
  };
  const at = (i) => known.get(i) ?? (known.set(i, read(i)), known.get(i));
  return { n, rows, columns, at };
}

/** 257 colours between hexadecimal stops: an odd number, so that 0 has the very middle of a signed scale. */
const tables = new Map();
function table(stops) {
  const key = stops.join();
  if (tables.has(key)) return tables.get(key);
  const rgb = stops.map((stop) => [0, 2, 4].map((n) => parseInt(stop.slice(n, n + 2), 16)));
  const colours = Uint8Array.from({ length: 257 * 3 }, (_, k) => {
    const place = (Math.floor(k / 3) / 256) * (stops.length - 1), below = Math.min(Math.floor(place), stops.length - 2);
    return Math.round(rgb[below][k % 3] + (place - below) * (rgb[below + 1][k % 3] - rgb[below][k % 3]));
  });
  tables.set(key, colours);
  return colours;
}
const gradient = (stops) => `linear-gradient(90deg, ${stops.map((stop) => `#${stop}`).join(", ")})`;

/** The largest magnitude (signed) or value (positive), 1 where there is none: a scale must not divide by 0. */
function largest(values, kind) {
  let most = 0;
  for (const value of values) if (Number.isFinite(value)) most = Math.max(most, kind === "signed" ? Math.abs(value) : value);
  return most || 1;
}

const minus = (text) => text.replace("-", "−").replace(/^−(0(\.0+)?%?)$/, "$1");
const plain = (value) => minus(value.toFixed(2));
const signed = (value) => (value >= 0.005 ? "+" : "") + plain(value);
const percent = (share) => {
  if (!Number.isFinite(share)) return "not a number";
  const size = Math.abs(share);
  if (size >= 0.995 && size < 1) return ">99%";
  return size === 0 ? "0%" : size < 0.0005 ? "<0.1%" : minus(`${(share * 100).toFixed(size < 0.0095 ? 1 : 0)}%`);
};
/** A number of a map in its unit, for people. */
function written(value, unit, kind) {
  if (!Number.isFinite(value)) return "not a number";
  if (unit === "share" || unit === "probability") return percent(unit === "share" ? value : Math.min(value, 0.9999)); // never certain
  const size = Math.abs(value); // what one of 48 x 48 places has is small
  if (size >= 0.00005 && size < 0.005) return (kind === "signed" && value > 0 ? "+" : "") + minus(value.toPrecision(1));
  return kind === "signed" ? signed(value) : plain(value);
}

/** An element; text is always a text node, so that no name can become markup. */
function make(tag, { class: name, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** The position (i, j) of a map at a place in what the network saw, both from 0 to 1; null outside. */
function cellOf({ rows, columns }, { u, v }) {
  const i = Math.floor(v * rows), j = Math.floor(u * columns);
  return i >= 0 && i < rows && j >= 0 && j < columns ? [i, j] : null;
}
const boxOf = ([x0, y0], [x1, y1]) => [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];

/** A position in words: its number, its share of the positive or negative evidence, its own text. */
function readPosition(map, cell) {
  if (!cell || map.kind === "photo") return "";
  const at = cell[0] * map.columns + cell[1], value = map.values[at], where = `Position (${cell.join(", ")})`;
  if (map.kind === "labels") return `${where}: ${map.notes?.[at] ?? map.legend[value] ?? ""}`;
  const alike = map.values.reduce((sum, other) => (other * value > 0 ? sum + Math.abs(other) : sum), 0);
  const share = map.unit === "logits" && value ? `, ${percent(Math.abs(value) / alike)} of the ${value > 0 ? "positive" : "negative"} evidence` : "";
  return `${where}: ${written(value, map.unit, map.kind)} ${map.unitName}${share}${map.notes ? ` · ${map.notes[at]}` : ""}`;
}
