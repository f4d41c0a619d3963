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
    input: normalised(pixels, preprocessing),
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

/** {width, height, read(x, y, w, h): that part, a number a pixel}. A phone has no room for a whole photo twice. */
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

/** RGBA to a number a pixel, red lowest: laid over white as Pillow pastes; grey as Pillow's for a grey network. */
function overWhite(rgba, grey) {
  const pixels = new Uint32Array(rgba.buffer), over = (level, alpha) => {
    const sum = 255 * (255 - alpha) + level * alpha + 128;
    return ((sum >> 8) + sum) >> 8;
  };
  for (let n = 0; n < pixels.length; n += 1) {
    if (pixels[n] >= 0xff000000 && !grey) continue;
    const i = 4 * n, alpha = rgba[i + 3];
    const red = over(rgba[i], alpha), green = over(rgba[i + 1], alpha), blue = over(rgba[i + 2], alpha);
    const luma = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
    pixels[n] = grey ? luma * 0x10101 : red | (green << 8) | (blue << 16);
  }
  return pixels;
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

/** The kept part, a number a pixel: in two passes, each rounded to 8 bits, in the order that Pillow takes. */
function resized(source, { near, box, scaled, kept }, interpolation) {
  const [width, height] = kept.slice(2);
  const across = axis(near[2], box[0], box[2], scaled[0], interpolation, kept[0], width);
  const down = axis(near[3], box[1], box[3], scaled[1], interpolation, kept[1], height);
  const columns = across.high - across.low, rows = down.high - down.low, pixels = new Uint32Array(width * height);
  const read = (x, y, w, h) => source.read(near[0] + across.low + x, near[1] + down.low + y, w, h);
  if (near[3] > scaled[1] && near[3] - scaled[1] > 2 * (near[2] - scaled[0])) { // Pillow's sign of a tall photo
    const flat = new Uint32Array(columns * height), most = Math.max(1, Math.floor(STRIP / rows));
    for (let x = 0; x < columns; x += most) {
      const count = Math.min(most, columns - x);
      pass(down, read(x, 0, count, rows), count, [1, count], flat.subarray(x), [1, columns]);
    }
    pass(across, flat, height, [columns, 1], pixels, [width, 1]);
  } else {
    const narrow = new Uint32Array(width * rows), most = Math.max(1, Math.floor(STRIP / columns));
    for (let y = 0; y < rows; y += most) {
      const count = Math.min(most, rows - y);
      pass(across, read(0, y, columns, count), count, [columns, 1], narrow.subarray(y * width), [width, 1]);
    }
    pass(down, narrow, width, [1, width], pixels, [1, width]);
  }
  return pixels;
}

const clamped = (level) => (level < 0 ? 0 : level > 255 ? 255 : level);

/**
 * Resize along one axis: `lines` of pixels, which begin at the axis's `low`, into as many of its count.
 *
 * line, step: how far in `pixels` the next line is, and the next pixel of a line; lineInto, stepInto: in `into`.
 */
function pass({ starts, counts, weights, taps, low }, pixels, lines, [line, step], into, [lineInto, stepInto]) {
  const half = 1 << (BITS - 1);
  for (let row = 0; row < lines; row += 1) {
    for (let n = 0; n < starts.length; n += 1) {
      let red = half, green = half, blue = half, i = row * line + (starts[n] - low) * step, k = n * taps;
      for (const end = k + counts[n]; k < end; k += 1, i += step) {
        const weight = weights[k], pixel = pixels[i];
        red = (red + Math.imul(pixel & 255, weight)) | 0;
        green = (green + Math.imul((pixel >> 8) & 255, weight)) | 0;
        blue = (blue + Math.imul((pixel >> 16) & 255, weight)) | 0;
      }
      into[row * lineInto + n * stepInto] = 0xff000000
        | clamped(red >> BITS) | (clamped(green >> BITS) << 8) | (clamped(blue >> BITS) << 16);
    }
  }
}

/** (1, channels, h, w) in single precision, as torch computes it. */
function normalised(pixels, { mean, std, order }) {
  const area = pixels.length, input = new Float32Array(mean.length * area);
  for (let channel = 0; channel < mean.length; channel += 1) {
    const colour = order === "bgr" && mean.length === 3 ? 2 - channel : channel;
    const middle = Math.fround(Math.fround(mean[channel]) * 255), spread = Math.fround(Math.fround(std[channel]) * 255);
    const values = Float32Array.from({ length: 256 }, (_, level) => Math.fround(level - middle) / spread);
    for (let n = 0; n < area; n += 1) input[channel * area + n] = values[(pixels[n] >> (8 * colour)) & 255];
  }
  return input;
}
