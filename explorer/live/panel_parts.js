// Parts of the panel: a search over all classes, the pooling and its parameter, tables of answers, tiles of channels.

/**
 * Type a few letters: the classes that hold them, with their probability under what is shown. `outcome()` has all `logits`
 * and `answer(c)`. `without` is a class that cannot be picked, `empty` what stands there where there is none; where it is
 * `clearable`, `pick(null)` is none.
 */
class ClassSearch {
  constructor(pick, outcome, label = "Class", empty = "") {
    Object.assign(this, { pick, outcome, empty, at: -1 });
    const id = `classes${Math.random().toString(36).slice(2)}`;
    this.input = make("input", { type: "text", role: "combobox", "aria-label": label, placeholder: empty, "aria-expanded": "false", "aria-controls": id, "aria-autocomplete": "list", autocomplete: "off", spellcheck: "false" });
    this.list = make("ul", { id, role: "listbox", "aria-label": "Classes", hidden: "" });
    this.root = make("div", { class: "search" }, make("label", {}, make("span", {}, label), this.input), this.list);
    const begin = () => { if (this.list.hidden) { this.input.select(); this.open(); } };
    this.input.addEventListener("focus", begin);
    this.input.addEventListener("click", begin);
    this.input.addEventListener("input", () => this.open());
    this.input.addEventListener("blur", () => setTimeout(() => (this.isEmptied ? this.take(null) : this.close()), 150));
    this.input.addEventListener("keydown", (event) => this.press(event));
  }
  show(network, c) {
    Object.assign(this, { network, c });
    if (this.list.hidden) this.input.value = this.name;
  }
  get isEmptied() { return !!this.clearable && this.c != null && !this.list.hidden && !this.input.value.trim(); }
  get name() { return this.c == null ? "" : this.network.names[this.c]; }
  open() {
    const words = this.input.value.toLowerCase().trim(), { names } = this.network, own = words === this.name.toLowerCase();
    const starts = (name) => !new RegExp(`(^|[^a-z0-9])${words.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}`, "i").test(name);
    const fitting = names.map((name, c) => c).filter((c) => c !== this.without).filter((c) => own || !words || names[c].toLowerCase().includes(words) || String(c) === words);
    const outcome = this.outcome(), { logits } = outcome, later = new Map(own || !words ? [] : fitting.map((c) => [c, starts(names[c])]));
    this.matches = fitting.sort((a, b) => later.get(a) - later.get(b) || logits[b] - logits[a]).slice(0, 8);
    this.at = this.matches.length && words && !own ? 0 : -1;
    const nothing = this.matches.length ? [] : [make("li", { class: "none" }, `No class is called “${shortened(this.input.value, 40)}”.`)];
    if (this.clearable && this.c != null) this.matches.push(null);
    this.list.replaceChildren(...nothing, ...this.matches.map((c, i) => {
      const { probability, rank } = c == null ? {} : outcome.answer(c), aside = c == null ? "" : `${share(this.network, probability)} · rank ${rank.toLocaleString("en")}`;
      const item = make("li", { role: "option", id: `${this.list.id}-${i}` }, make("span", {}, c == null ? this.empty : names[c]), make("span", { class: "aside" }, aside));
      item.addEventListener("pointerdown", (event) => { event.preventDefault(); this.take(c); });
      return item;
    }), ...(this.under ? [make("li", { class: "none" }, this.under)] : []));
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.mark();
  }
  mark() {
    [...this.list.querySelectorAll("[role=option]")].forEach((item, i) => item.setAttribute("aria-selected", String(i === this.at)));
    if (this.at >= 0) this.input.setAttribute("aria-activedescendant", `${this.list.id}-${this.at}`); else this.input.removeAttribute("aria-activedescendant");
  }
  close() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    this.input.value = this.name;
  }
  take(c) {
    this.c = c;
    this.close();
    this.pick(c);
  }
  press(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter" && this.isEmptied) this.take(null);
    else if (step) {
      if (this.list.hidden) return this.open();
      this.at = Math.max(0, Math.min(this.matches.length - 1, this.at + step));
      this.mark();
    } else if (event.key === "Enter" && this.matches?.[this.at] !== undefined && !this.list.hidden) this.take(this.matches[this.at]);
    else if (event.key === "Escape" && !this.list.hidden) this.close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

/** The pooling, its one number on a slider, and what the answer is worth under it. */
class PoolingChoice {
  constructor(pick) {
    this.select = make("select", { "aria-label": "Pooling" });
    this.input = make("input", { type: "range", min: "0", max: "200", step: "1" });
    this.output = make("output");
    this.badge = make("span", { class: "badge" });
    this.slider = make("label", { class: "parameter" }, this.input, this.output);
    this.root = make("div", { class: "pooling" }, make("label", {}, make("span", {}, "Pooling"), this.select), this.slider, make("div", { class: "worth" }, this.badge));
    this.select.addEventListener("change", () => pick({ pooling: this.select.value, parameter: undefined }));
    this.input.addEventListener("input", () => pick({ pooling: this.select.value, parameter: this.valueAt(+this.input.value / 200) }));
  }
  show(network, outcome, calibrated) {
    if (this.network !== network) this.select.replaceChildren(...[...network.poolings.values()].map(({ key, name }) => make("option", { value: key }, name)));
    const { parameter } = network.pooling(outcome.key), factor = calibrated ? outcome.multiplier : null;
    Object.assign(this, { network, parameter });
    this.select.value = outcome.key;
    this.slider.hidden = !parameter;
    this.badge.textContent = `${outcome.label}${factor ? `, calibrated × ${factor.toFixed(2)}` : calibrated && outcome.label === "what-if" ? ", no fit" : ""}`;
    this.badge.classList.toggle("native", outcome.label !== "what-if");
    if (!parameter) return;
    this.input.setAttribute("aria-label", `${parameter.name}: ${parameter.explanation}`);
    this.slider.title = parameter.explanation;
    this.output.textContent = `${parameter.name} = ${general(outcome.parameter)}`;
    if (Math.abs(this.valueAt(+this.input.value / 200) - outcome.parameter) > 1e-9) this.input.value = String(Math.round(200 * this.placeOf(outcome.parameter)));
  }
  placeOf(value) {
    const { usual: [low, high], logarithmic } = this.parameter;
    return Math.min(1, Math.max(0, logarithmic ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low)));
  }
  valueAt(place) {
    const { usual: [low, high], logarithmic } = this.parameter;
    return +(logarithmic ? low * (high / low) ** place : low + place * (high - low)).toPrecision(3);
  }
}

function tableOf(name, heads) {
  const body = make("tbody"), head = make("tr", {}, ...heads.map(([text, kind]) => make("th", { scope: "col", class: kind }, text)));
  return { body, head, table: make("table", { class: name }, make("thead", {}, head), body) };
}
const barOf = (text, probability) => make("span", { class: "bar", style: `--share: ${Number.isFinite(probability) ? (100 * Math.max(0, Math.min(1, probability))).toFixed(2) : 0}%` }, text);

/** The likeliest classes now, those that were likeliest before, and the chosen one. */
class AnswerTable {
  constructor(pick) {
    this.pick = pick;
    Object.assign(this, tableOf("answers", [["rank", ""], ["class", ""], ["before", "number before"], ["now", "number"], ["logit", "number"]]));
    this.root = this.table;
  }
  show(before, after, chosen, calibrated, changed) {
    const { network } = after, classes = [...new Set([...after.top(5, calibrated), before.top(1)[0]].map(({ c }) => c).concat(chosen))];
    const focused = this.root.getRootNode().activeElement?.dataset?.c;
    this.table.classList.toggle("unchanged", !changed);
    this.head.children[3].textContent = changed ? "now" : network.activation === "none" ? "value" : "probability";
    this.body.replaceChildren(...classes.sort((a, b) => after.rank(a) - after.rank(b)).map((c) => {
      const now = after.answer(c, calibrated), then = before.answer(c, calibrated);
      const name = button(shortened(now.name, 60), () => this.pick(c), { "data-c": c, title: now.name, "aria-pressed": String(c === chosen) });
      const row = make("tr", { class: c === chosen ? "shown" : "" }, make("td", {}, String(now.rank)), make("td", {}, barOf(name, now.probability)),
        make("td", { class: "number before" }, share(network, then.probability)), make("td", { class: "number" }, share(network, now.probability)), make("td", { class: "number" }, plain(now.logit)));
      return row;
    }));
    if (focused !== undefined) this.body.querySelector(`[data-c="${focused}"]`)?.focus({ preventScroll: true });
  }
}

/** The chosen class and the prediction under every pooling; a click chooses the pooling. */
class PoolingTable {
  constructor(pick) {
    this.pick = pick;
    Object.assign(this, tableOf("ways", [["pooling", ""], ["prediction", ""], ["", "number"]]));
    this.root = make("details", { class: "poolings" }, make("summary", {}, "Under every pooling"), this.table);
    this.root.addEventListener("toggle", () => this.last && this.show(this.last));
  }
  show(panel) {
    this.last = panel;
    if (!this.root.open || !panel.root.isConnected) return;
    const { data: { network }, state, chosen, after } = panel, maps = panel.isChanged ? panel.changed.maps : panel.data.maps;
    this.head.children[2].textContent = shortened(network.names[chosen], 24);
    this.body.replaceChildren(...[...network.poolings.values()].map((pooling) => {
      const outcome = pooling.key === after.key ? after : maps.under(pooling.key), [first] = outcome.top(1, state.calibrated);
      const name = button(poolingName(pooling, outcome.parameter), () => this.pick(pooling.key), { "aria-pressed": String(pooling.key === after.key) });
      return make("tr", { class: pooling.key === after.key ? "shown" : "" }, make("td", {}, name), make("td", {}, `${shortened(first.name, 30)}, ${share(network, first.probability)}`),
        make("td", { class: "number" }, share(network, outcome.answer(chosen, state.calibrated).probability)));
    }));
  }
}

/** The top contributing channels, each with a slider from muted to twice as much. */
class ChannelTiles {
  constructor(act) {
    Object.assign(this, { act, count: 12, tiles: new Map(), shown: [] });
    this.grid = make("div", { class: "tiles" });
    this.more = button("More channels", () => { this.count += 12; this.show(...this.last); });
    this.root = make("div", { class: "channels" }, make("h3", {}, "Top contributing channels"), this.grid, this.more);
  }
  show(panel, evidence) {
    this.last = [panel, evidence];
    const [before, after] = evidence, { edit, data: { maps } } = panel, order = [...before.channels.keys()].sort((a, b) => Math.abs(before.channels[b]) - Math.abs(before.channels[a]));
    const chosen = [...new Set([...order.slice(0, this.count), ...Object.keys(edit.channels).map(Number)])];
    if (this.maps !== maps) { this.tiles.clear(); this.maps = maps; }
    const shown = (this.shown = chosen.map((k) => this.tiles.get(k) ?? this.tiles.set(k, this.make(k)).get(k)));
    if (this.grid.children.length !== shown.length || shown.some(({ root }, n) => this.grid.children[n] !== root)) {
      this.grid.replaceChildren(...shown.map(({ root }) => root));
      this.paint(panel);
    }
    this.more.hidden = this.count >= before.channels.length;
    for (const { k, text, input, mute, root } of shown) {
      const factor = edit.channels[k] ?? 1, now = signed(after.channels[k]);
      text.textContent = (factor === 1 ? "" : `× ${general(factor)}: `) + signed(before.channels[k]) + (now === signed(before.channels[k]) ? "" : ` → ${now}`);
      if (+input.value !== factor) input.value = String(factor);
      input.setAttribute("aria-valuetext", factor === 0 ? "muted" : `times ${general(factor)}`);
      mute.setAttribute("aria-pressed", String(factor === 0));
      root.classList.toggle("muted", factor === 0);
    }
  }
  make(k) {
    const canvas = make("canvas", { role: "img", "aria-label": `Channel ${k} on the photo` }), text = make("span", { class: "number" });
    const input = make("input", { type: "range", min: "0", max: "2", step: "0.05", "aria-label": `Channel ${k}, scaled by` });
    const mute = button("Mute", () => this.act(k, +input.value === 0 ? 1 : 0, true), { "aria-label": `Mute channel ${k}` });
    input.addEventListener("input", () => this.act(k, +input.value, false));
    input.addEventListener("change", () => this.act(k, +input.value, true));
    input.addEventListener("keydown", (event) => { if (event.key === "m") { event.stopPropagation(); mute.click(); } });
    const root = make("div", { class: "tile" }, canvas, make("div", {}, make("strong", {}, `Channel ${k}`), text, input, mute));
    return { k, canvas, text, input, mute, root };
  }
  /** Each channel's map on the greyed photo. */
  paint({ data: { photo, maps, network } }) {
    const image = page.photos.get(photo.key);
    if (!image) return;
    const ratio = window.devicePixelRatio || 1, [w, h] = photo.size, wide = Math.round(92 * ratio), size = { width: wide, height: Math.max(1, Math.round((wide * h) / w)) };
    const [l, t, r, b] = photo.seen.map((edge, n) => (edge * (n % 2 ? size.height : size.width)) / (n % 2 ? h : w)), key = [photo.key, size.width].join();
    if (this.backed !== key) Object.assign(this, { backed: key, ground: drawPhoto(image, size, { x: 0, y: 0, w, h }, photo.size, [l, t, r - l, b - t], false) });
    for (const tile of this.shown) {
      const { k, canvas } = tile, look = [key, page.view.c].join();
      if (tile.look === look) continue;
      tile.look = look;
      Object.assign(canvas, size);
      const context = canvas.getContext("2d"), values = maps.F.subarray(k * maps.n, (k + 1) * maps.n), kind = "positive";
      context.drawImage(this.ground, 0, 0);
      context.imageSmoothingEnabled = false;
      context.globalAlpha = 0.85;
      context.drawImage(drawMap({ values, rows: maps.rows, columns: maps.columns, kind }, { limit: largest(values, kind), stops: network.look.schemes.positive[page.view.c], smooth: false, threshold: 0, positive: true }), l, t, r - l, b - t);
    }
  }
}
