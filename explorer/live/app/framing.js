// A photo to a network's input, as explorer/framing.py and Pillow 13 do it, to the grey level. It needs no page.

/** What was asked for cannot be done; `message` is one sentence for people. */
export class FramingError extends Error {}

const KINDS = ["crop", "whole", "squash"];
const SMALLEST_SIDE = 96, LARGEST_SIDE = 640, LARGEST_INPUT = 2_500_000, LARGEST_RESIZED = 10_000_000;
const BITS = 22; // of a weight: Pillow computes in whole numbers
const STRIP = 2 ** 20; // pixels of a photo that are read at once

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
/** Pillow's filters: how far each reaches, and its height at x. */
const FILTERS = {
  nearest: [0, null],
  box: [0.5, (x) => (x > -0.5 && x <= 0.5 ? 1 : 0)],
  bilinear: [1, (x) => Math.max(0, 1 - Math.abs(x))],
  hamming: [1, (x) => (
    Math.abs(x) >= 1 ? 0 : sinc(x) * (Math.fround(0.54) + Math.fround(0.46) * Math.cos(Math.PI * x)))],
  bicubic: [2, (x) => {
    const a = -0.5, d = Math.abs(x);
    return d < 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0;
  }],
  lanczos: [3, (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0)],
};

/** Python's round: a half goes to the even number. */
const round = (x) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

/**
 * A photo of any size to a network's input.
 *
 * photo: an ImageBitmap or canvas, or {data, width, height} with RGBA of 8 bits; transparency is laid over white.
 * preprocessing: {size, crop_ratio, mean, std, interpolation, stride, order, fixed}, as in explorer/framing.py.
 * kind: "crop", "whole" or "squash". side: the input's short side in px; null is the network's own.
 *
 * Gives {input: Float32Array of shape (1, 3, h, w), or (1, 1, h, w) for a network of grey images, normalised,
 * shape: [1, channels, h, w], framing: {kind, photo_size: [w, h], input_size: [w, h], seen: [l, t, r, b]}}.
 * Throws FramingError where there is no such framing, the network takes its own square alone, the side is out of its
 * range, or the input would exceed 2.5 megapixels.
 */
export function frame(photo, preprocessing, kind = "crop", side = null) {
  if (!KINDS.includes(kind)) {
    throw new FramingError(`There is no framing '${kind}'; expected one of ${KINDS.join(", ")}.`);
  }
  const short = checkedSide(preprocessing, kind, side), grey = preprocessing.mean.length === 1;
  const source = sourceOf(photo, grey), size = [source.width, source.height];
  const part = kind === "crop" ? centralSquare(size, short, preprocessing.crop_ratio)
    : entire(size, kind === "squash" ? [short, short] : ownAspect(size, short, preprocessing.stride));
  const pixels = resized(source, part, preprocessing.interpolation), [, , width, height] = part.kept;
  return {
    input: normalised(pixels, width * height, preprocessing),
    shape: [1, preprocessing.mean.length, height, width],
    framing: { kind, photo_size: size, input_size: [width, height], seen: part.seen },
  };
}

function checkedSide({ size: own, fixed }, kind, side) {
  const low = fixed ? own : Math.min(SMALLEST_SIDE, own), high = fixed ? own : LARGEST_SIDE, short = side ?? own;
  const square = `This network takes inputs of ${own} x ${own} px alone`;
  if (fixed && kind === "whole") {
    throw new FramingError(
      `${square}, so the whole photo at its own aspect cannot be its input; choose crop or squash.`);
  }
  if (fixed && short !== own) throw new FramingError(`${square}; got a short side of ${short} px.`);
  if (!Number.isInteger(short) || ((short < low || short > high) && short !== own)) {
    const beside = own < low || own > high ? `, or ${own}` : "";
    throw new FramingError(`The short side is ${short} px; expected a whole number from ${low} to ${high}${beside}.`);
  }
  return short;
}

// A part of a photo and what it becomes: `near`, [left, top, width, height], is read and its `box` is resized to
// `scaled`, [width, height], of which `kept`, [left, top, width, height], is the input.

const entire = ([width, height], scaled) => ({
  near: [0, 0, width, height], box: [0, 0, width, height], scaled, kept: [0, 0, ...scaled], seen: [0, 0, width, height],
});

function centralSquare([width, height], side, ratio) {
  const short = Math.trunc(side / ratio);
  const scaled = width <= height ? [short, Math.trunc((short * height) / width)]
    : [Math.trunc((short * width) / height), short];
  const [left, top] = scaled.map((length) => round((length - side) / 2));
  const x = width / scaled[0], y = height / scaled[1];
  const seen = [left * x, top * y, Math.min((left + side) * x, width), Math.min((top + side) * y, height)];
  if (scaled[0] * scaled[1] <= LARGEST_RESIZED) {
    return { ...entire([width, height], scaled), kept: [left, top, side, side], seen };
  }
  // As in explorer/framing.py: so long a photo is resized from the square and a margin.
  const margin = 3 * Math.ceil(Math.max(1, x, y));
  const [l, t] = [seen[0], seen[1]].map((edge) => Math.max(0, Math.trunc(edge) - margin));
  const r = Math.min(width, Math.trunc(seen[2]) + margin), b = Math.min(height, Math.trunc(seen[3]) + margin);
  const box = [seen[0] - l, seen[1] - t, seen[2] - l, seen[3] - t];
  return { near: [l, t, r - l, b - t], box, scaled: [side, side], kept: [0, 0, side, side], seen };
}

function ownAspect(photo, side, stride) {
  const short = Math.min(...photo);
  const [width, height] = photo.map((length) => (
    length === short ? side : Math.max(side, stride * round((length * (side / short)) / stride))));
  if (width * height > LARGEST_INPUT) {
    throw new FramingError(`The whole photo of ${photo[0]} x ${photo[1]} px at a short side of ${side} px would be `
      + `${width} x ${height} px; expected at most 2.5 megapixels: choose crop or squash.`);
  }
  return [width, height];
}

/** {width, height, read(x, y, w, h): RGB of that part}. A phone has no room for a large photo twice. */
function sourceOf(photo, grey) {
  const { width, height, data } = photo;
  if (data) {
    return { width, height, read(x, y, w, h) {
      const part = new Uint8ClampedArray(4 * w * h);
      for (let row = 0; row < h; row += 1) {
        const from = 4 * ((y + row) * width + x);
        part.set(data.subarray(from, from + 4 * w), 4 * w * row);
      }
      return overWhite(part, grey);
    } };
  }
  let context = null;
  return { width, height, read(x, y, w, h) {
    if (context?.canvas.width !== w || context.canvas.height !== h) {
      context = new OffscreenCanvas(w, h).getContext("2d", { willReadFrequently: true });
    }
    context.clearRect(0, 0, w, h);
    context.drawImage(photo, x, y, w, h, 0, 0, w, h);
    return overWhite(context.getImageData(0, 0, w, h).data, grey);
  } };
}

/** RGBA to RGB, laid over white as Pillow pastes; three times Pillow's grey for a network of grey images. */
function overWhite(rgba, grey) {
  const rgb = new Uint8ClampedArray((rgba.length / 4) * 3), alone = [0, 0, 0];
  for (let i = 0, at = 0; i < rgba.length; i += 4, at += 3) {
    const alpha = rgba[i + 3];
    if (alpha === 255 && !grey) {
      rgb[at] = rgba[i];
      rgb[at + 1] = rgba[i + 1];
      rgb[at + 2] = rgba[i + 2];
      continue;
    }
    for (let c = 0; c < 3; c += 1) {
      const sum = 255 * (255 - alpha) + rgba[i + c] * alpha + 128;
      alone[c] = ((sum >> 8) + sum) >> 8;
    }
    const luma = (alone[0] * 19595 + alone[1] * 38470 + alone[2] * 7471 + 0x8000) >> 16;
    for (let c = 0; c < 3; c += 1) rgb[at + c] = grey ? luma : alone[c];
  }
  return rgb;
}

/**
 * Pillow's weights along one side, for outputs `first` to `first + count` of `out`.
 *
 * length: of the side; from, to: the box on it, which Pillow keeps in single precision.
 * Gives {starts, counts: Int32Array of `count`; weights: Int32Array of `count` rows of `taps`; taps; low, high: the
 * part of the side that is read}.
 */
function axis(length, from, to, out, interpolation, first, count) {
  const [reach, height] = FILTERS[interpolation], origin = Math.fround(from);
  const scale = Math.fround(Math.fround(to) - origin) / out, wide = Math.max(1, scale), support = reach * wide;
  const taps = Math.ceil(support) * 2 + 1, weights = new Int32Array(count * taps);
  const starts = new Int32Array(count), counts = new Int32Array(count), row = new Float64Array(taps);
  let place = origin + scale * 0.5; // of the nearest filter, which adds up
  if (!height) for (let n = 0; n < first; n += 1) place += scale;
  for (let n = 0; n < count; n += 1) {
    if (!height) {
      [starts[n], counts[n], weights[n]] = [Math.trunc(place), 1, 1 << BITS];
      place += scale;
      continue;
    }
    const centre = origin + (first + n + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(length, Math.trunc(centre + support + 0.5));
    let sum = 0;
    for (let k = 0; k < end - start; k += 1) sum += row[k] = height((k + start - centre + 0.5) * (1 / wide));
    for (let k = 0; k < end - start; k += 1) {
      const share = (sum ? row[k] / sum : row[k]) * (1 << BITS);
      weights[n * taps + k] = Math.trunc(share + (share < 0 ? -0.5 : 0.5));
    }
    [starts[n], counts[n]] = [start, end - start];
  }
  const low = Math.min(...starts), high = starts.reduce((most, start, n) => Math.max(most, start + counts[n]), 0);
  return { starts, counts, weights, taps, low, high };
}

/** RGB (height, width, 3) of the kept part: two passes, each rounded to 8 bits, in the order that Pillow takes. */
function resized(source, { near, box, scaled, kept }, interpolation) {
  const across = axis(near[2], box[0], box[2], scaled[0], interpolation, kept[0], kept[2]);
  const down = axis(near[3], box[1], box[3], scaled[1], interpolation, kept[1], kept[3]);
  const columns = across.high - across.low, rows = down.high - down.low;
  const read = (x, y, w, h) => source.read(near[0] + across.low + x, near[1] + down.low + y, w, h);
  if (near[3] > scaled[1] && near[3] - scaled[1] > 2 * (near[2] - scaled[0])) { // Pillow's sign of a tall photo
    const count = Math.max(1, Math.floor(STRIP / rows)), flat = new Uint8ClampedArray(columns * kept[3] * 3);
    for (let x = 0; x < columns; x += count) {
      const wide = Math.min(count, columns - x), part = downColumns(read(x, 0, wide, rows), wide, down);
      for (let y = 0; y < kept[3]; y += 1) {
        flat.set(part.subarray(3 * y * wide, 3 * (y + 1) * wide), 3 * (y * columns + x));
      }
    }
    return alongRows(flat, columns, across);
  }
  const count = Math.max(1, Math.floor(STRIP / columns)), narrow = new Uint8ClampedArray(kept[2] * rows * 3);
  for (let y = 0; y < rows; y += count) {
    narrow.set(alongRows(read(0, y, columns, Math.min(count, rows - y)), columns, across), 3 * y * kept[2]);
  }
  return downColumns(narrow, kept[2], down);
}

const HALF = 1 << (BITS - 1);

/** RGB of rows of `columns` pixels, the first of which is the axis's `low`, to as many rows of the axis's count. */
function alongRows(rgb, columns, { starts, counts, weights, taps, low }) {
  const rows = rgb.length / 3 / columns, into = new Uint8ClampedArray(rows * starts.length * 3);
  for (let row = 0, at = 0; row < rows; row += 1) {
    for (let n = 0; n < starts.length; n += 1, at += 3) {
      let red = HALF, green = HALF, blue = HALF, i = 3 * (row * columns + starts[n] - low), k = n * taps;
      for (const end = k + counts[n]; k < end; k += 1, i += 3) {
        const weight = weights[k];
        red = (red + Math.imul(rgb[i], weight)) | 0;
        green = (green + Math.imul(rgb[i + 1], weight)) | 0;
        blue = (blue + Math.imul(rgb[i + 2], weight)) | 0;
      }
      into[at] = red >> BITS; // clamped from 0 to 255
      into[at + 1] = green >> BITS;
      into[at + 2] = blue >> BITS;
    }
  }
  return into;
}

/** RGB of rows of `columns` pixels, the first row of which is the axis's `low`, to as many rows as the axis counts. */
function downColumns(rgb, columns, { starts, counts, weights, taps, low }) {
  const line = columns * 3, into = new Uint8ClampedArray(starts.length * line), sums = new Int32Array(line);
  for (let n = 0; n < starts.length; n += 1) {
    sums.fill(HALF);
    for (let k = 0; k < counts[n]; k += 1) {
      const weight = weights[n * taps + k], from = (starts[n] - low + k) * line;
      for (let c = 0; c < line; c += 1) sums[c] = (sums[c] + Math.imul(rgb[from + c], weight)) | 0;
    }
    for (let c = 0; c < line; c += 1) into[n * line + c] = sums[c] >> BITS; // clamped from 0 to 255
  }
  return into;
}

/** (1, channels, h, w) in single precision, as torch computes it. */
function normalised(pixels, area, { mean, std, order }) {
  const input = new Float32Array(mean.length * area);
  for (let channel = 0; channel < mean.length; channel += 1) {
    const colour = order === "bgr" && mean.length === 3 ? 2 - channel : channel;
    const middle = Math.fround(Math.fround(mean[channel]) * 255), spread = Math.fround(Math.fround(std[channel]) * 255);
    const values = Float32Array.from({ length: 256 }, (_, level) => Math.fround(level - middle) / spread);
    for (let n = 0; n < area; n += 1) input[channel * area + n] = values[pixels[3 * n + colour]];
  }
  return input;
}
