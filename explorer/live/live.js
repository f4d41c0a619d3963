// The algebra after the feature maps, as explorer/poolings, explorer/networks/head.py and explorer/evidence.py have it:
// pooled vectors, logits, probabilities, evidence and contributions under every pooling. explorer/live/data.py writes
// what it reads. It knows no page.

/** A pooling writes weights times feature maps, w * F, into `kept` (C x n) and returns the pooled vector (C). */
const POOL = {
  gap: (maps, kept) => ofChannels(maps, kept, (F, from, to) => {
    for (let i = from; i < to; i++) kept[i] = F[i] / maps.n;
  }),
  gmp: (maps, kept) => ofChannels(maps, kept, (F, from, to) => {
    const most = largestOf(F, from, to);
    let ties = 0;
    for (let i = from; i < to; i++) ties += F[i] === most;
    for (let i = from; i < to; i++) kept[i] = F[i] === most ? most / ties : 0;
  }),
  gem: (maps, kept, p) => ofChannels(maps, kept, (F, from, to, k) => {
    const peak = Math.max(0, largestOf(F, from, to)), logs = maps.logs, top = Math.log(peak);
    if (!(peak > 0)) return kept.fill(0, from, to), 0;
    let sum = 0; // of (F / peak) ** p: powers of F itself overflow
    for (let i = from; i < to; i++) sum += kept[i] = F[i] > 0 ? Math.exp(p * (logs[i] - top)) : 0;
    const power = sum / maps.n, factor = (peak * power ** ((1 - p) / p)) / maps.n;
    for (let i = from; i < to; i++) kept[i] *= factor;
    return peak * power ** (1 / p);
  }),
  lse: (maps, kept, r) => ofChannels(maps, kept, (F, from, to) => {
    const most = largestOf(F, from, to), least = -largestOf(F, from, to, -1), n = to - from, [x, e] = scratch(n), at = [];
    kept.fill(0, from, to);
    for (let i = from; i < to; i++) if (F[i] !== 0) { x[at.length] = F[i] - most; at.push(i); } // zeros, of which a ReLU leaves many, keep nothing
    const [places, shares] = alongRay(r * (most - least)), zeros = n - at.length;
    let total = 0;
    for (let j = 0; j <= places.length; j++) { // softmax weights at places of the ray; at its end, for the value
      const t = j < places.length ? places[j] * r : r;
      total = zeros && zeros * Math.exp(-t * most);
      for (let i = 0; i < at.length; i++) total += e[i] = Math.exp(t * x[i]);
      if (j < places.length) for (let i = 0, share = shares[j] / total; i < at.length; i++) kept[at[i]] += share * e[i];
    }
    for (const i of at) kept[i] *= F[i];
    return most + Math.log(total / n) / r;
  }),
  topk: (maps, kept, share) => {
    const count = Math.max(1, Math.floor(share * maps.n + 0.5));
    return ofChannels(maps, kept, (F, from, to) => {
      const least = kth(F.subarray(from, to), to - from - count);
      let above = 0, tied = 0;
      for (let i = from; i < to; i++) { above += F[i] > least; tied += F[i] === least; }
      const part = (count - above) / tied;
      for (let i = from; i < to; i++) kept[i] = (F[i] > least ? F[i] : F[i] === least ? F[i] * part : 0) / count;
    });
  },
  mixed: (maps, kept, a) => blended(maps, kept, a, 1 - a),
  softpool: (maps, kept) => ofChannels(maps, kept, (F, from, to) => {
    const most = largestOf(F, from, to);
    let total = 0;
    for (let i = from; i < to; i++) total += kept[i] = Math.exp(F[i] - most);
    for (let i = from; i < to; i++) kept[i] *= F[i] / total;
  }),
  attention: (maps, kept, t) => {
    const { F, channels, n } = maps, query = maps.average, cosines = new Float64Array(n), lengths = new Float64Array(n);
    let length = 0;
    for (let k = 0; k < channels; k++) {
      length += query[k] ** 2;
      for (let i = 0; i < n; i++) { const value = F[k * n + i]; cosines[i] += query[k] * value; lengths[i] += value * value; }
    }
    return attended(maps, kept, [cosines.map((dot, i) => dot / Math.max(Math.sqrt(lengths[i] * length), 1.2e-38) / t)]);
  },
  // Of some networks alone: their own pooling, or a trained one.
  catavgmax: (maps, kept, _, { order }) => sideBySide(maps, kept, order),
  class_token: (maps, kept) => POOL.gap(maps, kept),
  attention_pool: (maps, kept, _, { heads, width }) => {
    const { F, n } = maps;
    return ofChannels(maps, kept, (_, from, to, k) => { // the heads' maps of weights stand behind the values, and pool to 0
      const looks = (width + Math.floor(k / (width / heads))) * n - from;
      for (let i = from; i < to; i++) kept[i] = k < width ? F[i] * F[looks + i] : 0;
    });
  },
  learned_attention: (maps, kept, _, { queries }) => attended(maps, kept, scores(maps, queries)),
  multi_query_attention: (maps, kept, _, { queries }) => attended(maps, kept, scores(maps, queries)),
  gated: (maps, kept, _, { gate, offset }) => {
    const share = 1 / (1 + Math.exp(-maps.average.reduce((sum, value, k) => sum + value * gate[k], offset)));
    return blended(maps, kept, 1 - share, share);
  },
};

/** Each channel by itself; where `act` returns no value, the channel's value is what it kept. */
function ofChannels({ F, channels, n }, kept, act) {
  const pooled = new Float64Array(channels);
  for (let k = 0, from = 0; k < channels; k++, from += n) {
    const value = act(F, from, from + n, k);
    if (value !== undefined) pooled[k] = value;
    else for (let i = from; i < from + n; i++) pooled[k] += kept[i];
  }
  return pooled;
}
function blended(maps, kept, ofMaximum, ofAverage) {
  const pooled = POOL.gmp(maps, kept), { F, n } = maps;
  for (let i = 0; i < kept.length; i++) kept[i] = ofMaximum * kept[i] + (ofAverage * F[i]) / n;
  return pooled.map((value, k) => ofMaximum * value + ofAverage * maps.average[k]);
}
function sideBySide(maps, kept, order) {
  const half = maps.channels / 2, middle = half * maps.n;
  return Float64Array.from(order.flatMap((key, which) => {
    const [from, to] = which ? [middle, 2 * middle] : [0, middle];
    return [...POOL[key](new LiveMaps(maps.network, maps.F.subarray(from, to), [half, maps.rows, maps.columns]), kept.subarray(from, to))];
  }));
}
/** (queries, n): the product of each query (C) with each position's vector. */
function scores({ F, channels, n }, queries) {
  return queries.map((query) => {
    const products = new Float64Array(n);
    for (let k = 0; k < channels; k++) for (let i = 0; i < n; i++) products[i] += query[k] * F[k * n + i];
    return products;
  });
}
/** Each query's softmax over the positions weighs its own slice of the channels; the first slices are the larger ones. */
function attended(maps, kept, ofQueries) {
  const { F, channels, n } = maps, wide = Math.ceil(channels / ofQueries.length), wider = channels % ofQueries.length || ofQueries.length;
  const shares = ofQueries.map((products) => softmax(products));
  return ofChannels(maps, kept, (_, from, to, k) => {
    const weights = shares[k < wider * wide ? Math.floor(k / wide) : wider + Math.floor((k - wider * wide) / (wide - 1))];
    for (let i = from; i < to; i++) kept[i] = F[i] * weights[i - from];
  });
}
function softmax(values, factor = 1) {
  const most = values.reduce((a, b) => Math.max(a, b), -Infinity), e = values.map((value) => Math.exp(factor * (value - most)));
  const total = e.reduce((a, b) => a + b, 0);
  return e.map((value) => value / total);
}
function largestOf(F, from, to, sign = 1) {
  let most = -Infinity;
  for (let i = from; i < to; i++) if (sign * F[i] > most) most = sign * F[i];
  return most;
}
/** The k-th smallest number, counted from 0 (Hoare's selection). */
function kth(values, k) {
  const [v] = scratch(values.length);
  v.set(values);
  for (let low = 0, high = values.length - 1; low < high;) {
    const middle = v[k];
    let i = low, j = high;
    while (i <= j) {
      while (v[i] < middle) i++;
      while (middle < v[j]) j--;
      if (i > j) break;
      [v[i], v[j]] = [v[j], v[i]];
      i++; j--;
    }
    if (j < k) low = i;
    if (k < i) high = j;
  }
  return v[k];
}
/** Two buffers of at least n numbers that whoever asks last may fill. */
let buffers = [new Float64Array(0), new Float64Array(0)];
function scratch(n) {
  if (buffers[0].length < n) buffers = [new Float64Array(n), new Float64Array(n)];
  return buffers;
}

/** Gauss-Legendre places and shares on 0..1 for a softmax whose exponents span so much; see values.lse_weights. */
function alongRay(span) {
  const panels = Math.max(0, Math.ceil(Math.log(Math.max(span, 1) / 24) / Math.log(4)));
  const nodes = panels ? 14 : Math.max(3, Math.min(14, Math.ceil(4 + span * 0.45)));
  return cached(alongRay, `${panels} ${nodes}`, () => {
    const [points, weights] = legendre(nodes), edges = [0, ...Array.from({ length: panels + 1 }, (_, k) => 4 ** (k - panels))];
    const places = [], shares = [];
    for (let k = 0; k <= panels; k++) points.forEach((point, i) => {
      places.push(edges[k] + ((edges[k + 1] - edges[k]) * (point + 1)) / 2);
      shares.push(((edges[k + 1] - edges[k]) * weights[i]) / 2);
    });
    return [places, shares];
  });
}
/** Roots of the Legendre polynomial of degree n by Newton's method, and their weights. */
function legendre(n) {
  const roots = Array.from({ length: n }, (_, i) => Math.cos((Math.PI * (i + 0.75)) / (n + 0.5))), weights = [];
  roots.forEach((x, i) => {
    let slope;
    for (let step = 0; step < 20; step++) {
      let [before, now] = [1, x];
      for (let k = 2; k <= n; k++) [before, now] = [now, ((2 * k - 1) * x * now - (k - 1) * before) / k];
      slope = (n * (x * now - before)) / (x * x - 1);
      x -= now / slope;
    }
    roots[i] = x;
    weights.push(2 / ((1 - x * x) * slope * slope));
  });
  return [roots, weights];
}
function cached(owner, key, make, most = 40) {
  const known = (owner.known ??= new Map());
  if (!known.has(key)) known.set(key, make());
  if (known.size > most) known.delete(known.keys().next().value);
  return known.get(key);
}

/** Steps of a head: each runs a vector, and is linear once what it holds of that vector is held: {rows} or {factor}, {shift}. */
const HELD = {
  linear: ({ rows, shift, offset }) => ({ rows, shift, offset }), // the offset is what an integrated head leaves over
  scale: ({ factor, shift }) => ({ factor, shift }),
  norm: ({ eps, weight, bias }, v) => {
    const mean = v.reduce((a, b) => a + b, 0) / v.length, variance = v.reduce((sum, value) => sum + (value - mean) ** 2, 0) / v.length;
    const factor = Float64Array.from(weight, (one) => one / Math.sqrt(variance + eps));
    return { factor, shift: factor.map((one, k) => bias[k] - mean * one) };
  },
  unit: ({ eps }, v) => ({ factor: new Float64Array(v.length).fill(1 / Math.max(Math.sqrt(v.reduce((sum, value) => sum + value * value, 0)), eps)) }),
  beside: (_, v) => ({ first: v.length / 2, shift: v.slice(v.length / 2) }),
};
const run = ({ rows, factor, first, shift, offset }, v) => {
  if (rows) return Float64Array.from(rows, (row, c) => dot(row, v) + shift[c] + (offset?.[c] ?? 0));
  const moved = first ? v.slice(0, first) : v.map((value, k) => value * factor[k]);
  return shift ? moved.map((value, k) => value + shift[k]) : moved;
};
function dot(a, b) { // four sums that do not wait for each other
  const n = b.length, whole = n - (n % 4);
  let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  for (let k = 0; k < whole; k += 4) { s0 += a[k] * b[k]; s1 += a[k + 1] * b[k + 1]; s2 += a[k + 2] * b[k + 2]; s3 += a[k + 3] * b[k + 3]; }
  for (let k = whole; k < n; k++) s0 += a[k] * b[k];
  return s0 + s1 + s2 + s3;
}

/** A network after its backbone: names, poolings and heads, as `network_data` of explorer/live/data.py has them. */
class LiveNetwork {
  constructor(data) { Object.assign(this, data); }
  static async read(data) {
    const read = async (step) => {
      if (!step.rows) return step;
      const { n, at } = await unpack(step.rows);
      return { ...step, rows: Array.from({ length: n }, (_, c) => at(c)) };
    };
    const heads = await Promise.all(data.heads.map(async ({ steps, rest }) => ({ rest, steps: await Promise.all(steps.map(read)) })));
    return new LiveNetwork({ ...data, heads, poolings: new Map(data.poolings.map((pooling) => [pooling.key, pooling])) });
  }
  /** Where some classes alone are at hand: the place of a class among them (-1: nowhere), and the class at a place. */
  placeOf(c) { return this.classes ? this.classes.indexOf(c) : c < this.names.length ? c : -1; }
  classOf(place) { return this.classes ? this.classes[place] : place; }
  pooling(key) { return this.poolings.get(key); }
  usual(key) { return key === this.native.keys[0] ? this.native.value ?? undefined : this.pooling(key).parameter?.default; }
  isNative(key, parameter) { return this.native.keys.includes(key) && (this.native.value ?? undefined) === parameter; }
  label(key, parameter) {
    if (this.isNative(key, parameter)) return "native";
    const { trained, parameter: its } = this.pooling(key);
    return trained && its?.default === parameter ? "trained" : "what-if";
  }
  /** Between the fitted parameters, as numpy.interp; null outside of them and where none was fitted. */
  multiplier(key, parameter = 0) {
    const pairs = this.pooling(key).trained || this.isNative(key, this.pooling(key).parameter ? parameter : undefined) ? [] : this.multipliers[key] ?? [];
    const above = pairs.findIndex(([at]) => at >= parameter);
    if (above < 0 || (above === 0 && pairs[0][0] > parameter)) return null;
    if (pairs[above][0] === parameter) return pairs[above][1];
    const [[low, first], [high, second]] = [pairs[above - 1], pairs[above]];
    return first + ((second - first) * (parameter - low)) / (high - low);
  }
  /** `rest` is the logit of all classes together that are not at hand. */
  probabilities(logits, rest) {
    if (this.activation === "none" || this.activation === "given") return logits;
    const shares = this.activation === "sigmoid" ? logits.map((logit) => 1 / (1 + Math.exp(-logit)))
      : softmax(rest == null ? logits : Float64Array.of(...logits, rest)).subarray(0, logits.length);
    return logits.length === 1 && this.activation === "softmax" ? shares : shares.map((share) => Math.min(share, 1 - 2 ** -24));
  }
}

/** Feature maps (C, H, W) of one photo by a network. */
class LiveMaps {
  constructor(network, F, [channels, rows, columns]) { Object.assign(this, { network, F, channels, rows, columns, n: rows * columns }); }
  get logs() { return (this._logs ??= Float64Array.from(this.F, (value) => Math.log(value))); }
  get average() { return (this._average ??= ofChannels(this, this.F, () => undefined).map((sum) => sum / this.n)); }
  /** What the network answers under a pooling; without a parameter, under the usual one. */
  under(key = this.network.native.keys[0], parameter = this.network.usual(key)) {
    return cached(this, `${key} ${parameter}`, () => new LiveOutcome(this, key, parameter), 12);
  }
  /** Other maps: channels times a factor, {channel: factor}, and positions, numbers row by row, set to 0. */
  changed({ channels = {}, positions = [] }) {
    const F = this.F.slice(), { n } = this;
    for (const [k, factor] of Object.entries(channels)) for (let i = k * n; i < (+k + 1) * n; i++) F[i] *= factor;
    for (let k = 0; k < this.channels; k++) for (const at of positions) F[k * n + at] = 0;
    return new LiveMaps(this.network, F, [this.channels, this.rows, this.columns]);
  }
}

/** The answer under one pooling, and each logit's parts. */
class LiveOutcome {
  constructor(maps, key, parameter) {
    const { network } = maps, pooling = network.pooling(key);
    this.kept = new Float32Array(maps.F.length);
    this.pooled = POOL[key](maps, this.kept, parameter, pooling.learned);
    Object.assign(this, { maps, network, key, parameter, ...network.heads[pooling.head], label: network.label(key, parameter) });
    this.steps = this.steps.map((step) => { // each held at the vector that reaches it
      const held = HELD[step.kind](step, this.logits ?? this.pooled);
      this.logits = run(held, this.logits ?? this.pooled);
      return held;
    });
    this.logits ??= this.pooled;
  }
  get multiplier() { return this.network.multiplier(this.key, this.parameter); }
  probabilities(calibrated = false) {
    const factor = (calibrated && this.multiplier) || 1;
    return cached(this, factor, () => this.network.probabilities(this.logits.map((logit) => logit * factor), this.rest));
  }
  rank(c) { return 1 + this.logits.reduce((above, logit) => above + (logit > this.logits[c]), 0); }
  answer(c, calibrated = false) { return { c, name: this.network.names[c], logit: this.logits[c], probability: this.probabilities(calibrated)[c], rank: this.rank(c) }; }
  /** The classes with the largest logits, best first. */
  top(count = 5, calibrated = false) {
    this.order ??= [...this.logits.keys()].sort((a, b) => this.logits[b] - this.logits[a] || a - b);
    return this.order.slice(0, count).map((c) => this.answer(c, calibrated));
  }
  /** logit = baseline + sum of cells (n) + residual; contributions of channels (C) are slopes times the pooled vector. */
  evidence(c) {
    return cached(this, `evidence ${c}`, () => {
      let slopes = null, baseline = 0;
      for (const { rows, factor, first, shift } of this.steps.toReversed()) {
        slopes ??= rows ? null : Float64Array.from({ length: this.logits.length }, (_, k) => +(k === c));
        if (!slopes) { [slopes, baseline] = [Float64Array.from(rows[c]), shift[c]]; continue; }
        if (shift) baseline += dot(slopes, shift);
        if (rows) slopes = rows.reduce((sum, row, i) => sum.map((value, k) => value + slopes[i] * row[k]), new Float64Array(rows[0].length));
        else if (first) slopes = Float64Array.from({ length: 2 * first }, (_, k) => (k < first ? slopes[k] : 0));
        else slopes = slopes.map((slope, k) => slope * factor[k]);
      }
      slopes ??= Float64Array.from({ length: this.logits.length }, (_, k) => +(k === c));
      const { n } = this.maps, cells = new Float64Array(n);
      for (let k = 0, from = 0; k < slopes.length; k++, from += n) if (slopes[k]) for (let i = 0; i < n; i++) cells[i] += slopes[k] * this.kept[from + i];
      const logit = this.logits[c], residual = logit - baseline - cells.reduce((a, b) => a + b, 0);
      return { cells, slopes, channels: slopes.map((slope, k) => slope * this.pooled[k]), baseline, logit, residual };
    });
  }
}
