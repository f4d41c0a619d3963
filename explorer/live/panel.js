// The panel of one photo: any class under any pooling, channels muted or scaled, positions ignored; the answer before and
// after, all computed here. The app and pages without a server show the same panel.
const SIDE_BY_SIDE = 520, MORPH = 450; // px; ms
const PANEL_KEYS = [["u", "undo a change"], ["b", "before the changes, and after"], ["Enter", "ignore the position"], ["drag", "ignore a box"],
  ...KEYS.filter(([key]) => !["← →", "Enter", "drag", "p"].includes(key))];

class LivePanel {
  /** `act("state", state)` is called a moment after the reader has changed something. */
  constructor(root, { act = () => {} } = {}) {
    Object.assign(this, { root, act, past: [], changed: null, morphed: 1 });
    this.says = make("p", { class: "says", role: "status" });
    this.lead = make("p", { class: "lead" });
    this.took = make("p", { class: "took" });
    this.foot = make("p", { class: "foot" });
    this.photo = make("div", { class: "viewer" });
    this.viewer = new Viewer(this.photo, PANEL_KEYS);
    const pick = (place) => this.choose({ c: this.data.network.classOf(place) });
    this.search = new ClassSearch(pick, () => ({ logits: this.after.logits, answer: (c) => this.after.answer(c, this.state.calibrated) }));
    this.pooling = new PoolingChoice((choice) => this.choose(choice));
    this.answers = new AnswerTable(pick);
    this.ways = new PoolingTable((pooling) => this.choose({ pooling, parameter: undefined }));
    this.tiles = new ChannelTiles((k, factor, done) => this.scale(k, factor, done));
    this.undoing = button("Undo", () => this.undo(), { title: "u" });
    this.resetting = button("Reset", () => this.change({ channels: {}, positions: [] }));
    this.turning = button("Show before", () => this.morph(), { title: "b" });
    root.classList.add("live");
    root.replaceChildren(
      make("div", { class: "words" }, this.says, this.lead, this.took),
      make("div", { class: "both" },
        make("div", { class: "left" }, this.photo,
          make("div", { class: "acts" }, this.undoing, this.resetting, this.turning)),
        make("div", { class: "right" }, make("div", { class: "choices" }, this.search.root, this.pooling.root), this.answers.root, this.ways.root)),
      this.tiles.root, this.foot);
    root.addEventListener("keydown", (event) => this.press(event));
    new ResizeObserver(() => { // its height follows what is drawn
      if (this.data && this.width !== root.clientWidth) this.draw();
      this.width = root.clientWidth;
    }).observe(root);
    whileShown(root, page.bus, "photo", () => this.data && this.tiles.paint(this));
  }

  /** `data.exactness`, where it is given, is a sentence at the foot. */
  show(data) {
    const isNew = this.data?.maps !== data.maps;
    this.foot.textContent = data.exactness ?? "";
    Object.assign(this, { data, state: { ...data.state }, edit: parseChange(data.state.change, data.maps) });
    if (isNew) Object.assign(this, { past: [], changed: null, morphed: 1 });
    this.draw();
  }
  /** The answer without the changes, and with them. */
  get before() { return this.data.maps.under(...this.under); }
  get after() {
    const { edit } = this, text = writeChange(edit, this.data.maps);
    if (!text) return this.before;
    if (this.changed?.text !== text) this.changed = { text, maps: this.data.maps.changed(edit) };
    return this.changed.maps.under(...this.under);
  }
  get under() {
    const { network } = this.data, key = network.poolings.has(this.state.pooling) ? this.state.pooling : network.native.keys[0];
    return [key, this.state.parameter ?? network.usual(key)];
  }
  get isChanged() { return !!writeChange(this.edit, this.data.maps); }
  /** The chosen class's place among the network's names; the prediction where none is chosen, or it is not at hand. */
  get chosen() {
    const place = this.state.c == null ? -1 : this.data.network.placeOf(this.state.c);
    return place >= 0 ? place : this.before.top(1)[0].c;
  }

  // What a reader does.

  choose(choice) {
    Object.assign(this.state, choice);
    this.later();
  }
  change(edit, step = true) {
    if (step) this.past.push(this.held ?? this.edit);
    this.held = null;
    this.edit = edit;
    this.morphed = 1;
    this.later();
  }
  /** A channel's factor; while it is dragged nothing is put into the past, its beginning is held for that. */
  scale(k, factor, done) {
    const channels = { ...this.edit.channels, [k]: factor }, held = this.held ?? this.edit;
    if (factor === 1) delete channels[k];
    if (done) return this.change({ ...this.edit, channels });
    Object.assign(this, { edit: { ...this.edit, channels }, held });
    this.later();
  }
  ignore([top, left, bottom, right]) {
    const { columns } = this.data.maps, box = [], known = new Set(this.edit.positions);
    for (let i = top; i <= bottom; i++) for (let j = left; j <= right; j++) box.push(i * columns + j);
    const all = box.every((at) => known.has(at));
    for (const at of box) all ? known.delete(at) : known.add(at);
    this.change({ ...this.edit, positions: [...known].sort((a, b) => a - b) });
  }
  undo() {
    if (this.past.length) this.change(this.past.pop(), false);
  }
  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input:not([type=range])")) return;
    const act = { u: () => this.undo(), b: () => this.morph() }[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }
  /** From after to before, or back, in one movement. */
  morph() {
    const from = this.morphed, to = from < 0.5 ? 1 : 0, begin = performance.now();
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches || !this.isChanged;
    const step = () => {
      const t = still ? 1 : Math.min(1, (performance.now() - begin) / MORPH);
      this.morphed = from + (to - from) * t * t * (3 - 2 * t);
      this.draw();
      if (t < 1) requestAnimationFrame(step);
    };
    step();
  }
  /** Draw once in the next frame, and say what the state is once it rests. */
  later() {
    this.frame ??= requestAnimationFrame(() => { this.frame = null; this.draw(); });
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.act("state", this.stated), 400);
  }
  get stated() { return { ...this.state, change: writeChange(this.edit, this.data.maps) }; }

  // What is shown.

  draw() {
    const { data: { network, maps }, state, chosen } = this, before = this.before, after = this.after, changed = this.isChanged;
    const name = network.names[chosen], of = `${shortened(name)}${after.label === "native" ? "" : ` under ${poolingName(network.pooling(after.key), after.parameter)}`}`;
    const evidence = [before.evidence(chosen), after.evidence(chosen)];
    this.isWide = this.photo.clientWidth >= SIDE_BY_SIDE; // measured before anything is written, or it is laid out twice
    const [answer, shown] = this.morphed < 0.5 ? [before, evidence[0]] : [after, evidence[1]];
    this.says.textContent = answerSentence(answer, state.calibrated);
    this.lead.textContent = addsUp(shown) ? evidenceSentence(shown.cells, maps.rows, maps.columns, of)
      : `After this change the logit of ${name} cannot be decomposed: ${plain(shown.residual)} of its ${plain(shown.logit)} are left over.`;
    this.took.textContent = changed ? `${changeInWords(this.edit)}. Before: ${answerSentence(before, state.calibrated)} Logit of ${shortened(name, 40)}: ${plain(evidence[0].logit)} before, ${plain(evidence[1].logit)} now.`
      : `Click a position, or drag over several: they are ignored. Mute or scale a channel below.${network.estimated ? " This head is not affine: after a change its logits are estimated, with slopes held." : ""}`;
    this.drawMaps(before, after, evidence, name);
    this.search.show(network, chosen);
    this.pooling.show(network, after, state.calibrated);
    this.answers.show(before, after, chosen, state.calibrated, changed);
    this.evidence = evidence;
    this.tilesFrame ??= requestAnimationFrame(() => { // after the answer, the map and the sentence
      this.tilesFrame = null;
      this.tiles.show(this, this.evidence);
    });
    const focused = this.root.getRootNode().activeElement;
    this.undoing.disabled = !this.past.length;
    this.resetting.disabled = !changed;
    if (focused?.disabled) this.photo.focus({ preventScroll: true }); // the keys go on from there
    this.turning.hidden = !changed || this.isWide;
    this.turning.textContent = this.morphed < 0.5 ? "Show after" : "Show before";
    clearTimeout(this.resting); // every pooling at once is worth waiting for
    this.resting = setTimeout(() => this.ways.show(this), 120);
  }
  drawMaps(before, after, evidence, name) {
    const { data: { network, photo, maps }, edit } = this, wide = this.isChanged && this.isWide;
    const limit = largest(evidence[0].cells, "signed"), t = this.morphed, [first, last] = evidence;
    const map = (id, title, cells, ignored, parts) => ({
      id, title, kind: "signed", unit: "logits", unitName: network.unit, name: `${title}: evidence for ${name}`, facets: [], row: "", aside: "", badge: "", says: "", details: "",
      caption: "", scale: "evidence", limit, values: cells, rows: maps.rows, columns: maps.columns, ignored: ignored.map((at) => [Math.floor(at / maps.columns), at % maps.columns]), lines: parts ? [sumSentence(parts, network.number), exactnessOf(parts, network, after.key)] : [],
    });
    const shown = t < 1 ? last.cells.map((value, at) => first.cells[at] + t * (value - first.cells[at])) : last.cells;
    const now = map("after", t < 0.5 ? "Before" : wide ? "After" : "Evidence", Float32Array.from(shown), t < 0.5 ? [] : edit.positions, t === 0 ? first : t === 1 ? last : null);
    const stack = `live ${(livePanels = (livePanels + 1) % 1e9)}`, list = wide ? [map("before", "Before", Float32Array.from(first.cells), [], first), now] : [now];
    keep(page.stacks, stack, list, 20);
    this.viewer.receive({
      ...network.look, photo: photo.key, network: network.digest, size: photo.size, seen: photo.seen, grid: { rows: maps.rows, columns: maps.columns }, name: "Evidence before and after",
      stack, chosen: list[0].id, across: wide ? 2 : 0, main: false, toolbar: true, tallest: 460, facets: [], heading: wide ? `Evidence for ${shortened(name, 60)}` : "", aside: "", follow: "", region: null, stage: false, lined: null, files: "", picks: false,
      caption: "A click ignores a position; Shift and arrows go through them, Enter ignores one",
    }, (event, { positions } = {}) => event === "region" && this.ignore(positions));
  }
}
let livePanels = 0;

/** "k12x0_p3.4" to {channels: {12: 0}, positions: [at]}, as explorer/questions/intervention.py; what does not exist is left out. */
function parseChange(text, { channels, rows, columns }) {
  const edit = { channels: {}, positions: [] };
  for (const part of (text || "").split("_")) {
    const [, k, factor, i, j] = part.match(/^(?:k(\d{1,6})x(\d{1,2}(?:\.\d{1,3})?)|p(\d{1,3})\.(\d{1,3}))$/) ?? [];
    if (k !== undefined && +k < channels && +factor <= 10) edit.channels[+k] = +factor;
    if (i !== undefined && +i < rows && +j < columns) edit.positions.push(i * columns + +j);
  }
  return edit;
}
function writeChange({ channels, positions }, { columns }) {
  const ks = Object.keys(channels).map(Number).sort((a, b) => a - b), ats = [...positions].sort((a, b) => a - b);
  return [...ks.map((k) => `k${k}x${+channels[k].toFixed(3)}`), ...ats.map((at) => `p${Math.floor(at / columns)}.${at % columns}`)].join("_");
}
/** "2 channels muted, 1 scaled, 3 positions ignored" */
function changeInWords({ channels, positions }) {
  const factors = Object.values(channels), muted = factors.filter((factor) => factor === 0).length, scaled = factors.length - muted;
  const count = (n, one) => `${n} ${one}${n === 1 ? "" : "s"}`;
  return [muted && `${count(muted, "channel")} muted`, scaled && `${count(scaled, "channel")} scaled`, positions.length && `${count(positions.length, "position")} ignored`].filter(Boolean).join(", ");
}
/** Whether there is so little left over that evidence can be spoken of: as `adds_up` of explorer/evidence.py. */
const addsUp = ({ residual, logit }) => Math.abs(residual) <= Math.max(0.003, 0.1 * Math.abs(logit));

/** "exact" or "integrated, residual 0.003"; in double precision an identity leaves nothing over that is worth a number. */
function exactnessOf({ residual, logit }, network, key) {
  const size = Math.abs(residual), kind = network.estimated || key === "lse" ? "integrated" : size < Math.max(0.005, 2 ** -20 * Math.abs(logit)) ? "exact" : "not exact";
  return size < 1e-6 ? kind : `${kind}, residual ${size >= 1e-3 ? general(+size.toPrecision(1)) : size.toExponential(0).replace("e-0", "e-")}`;
}
