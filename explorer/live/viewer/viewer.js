// The photo on a canvas with maps laid over it. Drawing, choosing and reading happen here. Python is sent a clicked
// position or dragged box, a map that the whole page shall show, a talk's next photo, and contours, which files have too.
class Viewer {
  constructor(root, keys = KEYS) {
    this.root = root;
    this.maps = [];
    this.painted = new Map(); // the maps' own little pictures, by all that they depend on
    this.parts = {
      says: make("h1", { class: "says" }), title: make("div", { class: "title" }), panes: make("div", { class: "panes" }),
      legend: make("div", { class: "legend" }), lines: make("p", { class: "lines" }), readout: make("p", { class: "readout" }),
      tools: make("div", { class: "tools" }), steps: make("div", { class: "steps" }),
      live: make("p", { class: "spoken", "aria-live": "polite" }), help: make("dl", { class: "help", hidden: "" }, ...keys.flatMap(([key, what]) => [make("dt", {}, key), make("dd", {}, what)])),
    };
    Object.assign(root, { tabIndex: 0, role: "group" }).append(...Object.values(this.parts));
    root.addEventListener("keydown", (event) => this.press(event));
    new ResizeObserver(() => { this.measured = null; this.paint(); }).observe(root);
    const listeners = { view: () => this.refresh(), hover: () => this.point(), photo: () => this.paint(), show: (detail) => this.follow(detail) };
    for (const [name, listener] of Object.entries(listeners)) whileShown(root, page.bus, name, (event) => this.data && listener(event.detail));
    whileShown(root, page.bus, "stack", ({ detail }) => this.arriving?.stack === detail && this.take(this.arriving));
    whileShown(root, document, "keydown", (event) => this.data?.main && this.pressAnywhere(event));
    whileShown(root, document, "fullscreenchange", () => setTimeout(() => this.paint(), 60));
  }

  receive(data, send) {
    Object.assign(this, { send, arriving: data });
    if (page.stacks.has(data.stack)) this.take(data);
  }
  /** Show the data, once its maps are in the store; until then the last ones stay. */
  take(data) {
    const content = JSON.stringify({ ...data, region: null }), before = this.content;
    const moved = this.data && (this.data.chosen !== data.chosen || this.data.photo !== data.photo);
    if (moved && data.main && !(performance.now() - page.returned < 3000)) page.view.m = page.toLast ? page.stacks.get(data.stack).at(-1).id : ""; // Back brings its own map
    [this.content, page.toLast] = [content, page.toLast && !moved];
    if (before === content) return Object.assign(this, { data }).point(); // nothing is new but the chosen region
    if (this.data?.stack !== data.stack) Object.assign(this, { maps: page.stacks.get(data.stack), painted: new Map() });
    Object.assign(this, { data, arriving: null, guest: null, titled: null, measured: this.data?.stage === data.stage && this.measured });
    for (const [name, on] of Object.entries({ stage: !!data.stage, landscape: data.size[0] > 1.2 * data.size[1] })) this.root.classList.toggle(name, on);
    this.root.setAttribute("aria-label", data.name);
    this.tools ??= new Tools(this.parts.tools, data, { fullScreen: () => this.fullScreen(), help: () => this.help(), compares: () => this.maps.some((map) => comparesPoolings(map, this.maps)) });
    this.refresh();
    rememberView();
  }

  // What is shown.

  get shown() {
    if (this.guest) return this.guest;
    const id = this.data.main ? chosenMap() || this.data.chosen : this.local ?? this.data.chosen;
    return this.maps.find((map) => map.id === id) ?? this.maps.find((map) => map.id === this.data.chosen) ?? this.maps[0];
  }
  show(map, announce = false) {
    if (!map) return;
    if (this.data.main) change({ m: map.id === this.data.chosen ? "" : map.id });
    else { this.local = map.id; this.refresh(); }
    if (announce) this.parts.live.textContent = [map.name, map.says, ...map.lines].filter(Boolean).join(". ");
  }
  follow(detail) {
    if (this.data.follow !== detail?.from) return;
    this.guest = detail.map;
    this.painted.delete("guest");
    this.refresh();
  }
  stops(map) {
    const kind = map.kind === "signed" && page.view.p ? "for" : map.kind;
    return this.data.schemes[kind][page.view.c];
  }

  // Panes: one, with a choice of maps, or one for each map.

  refresh() {
    if (!this.data) return;
    if (this.data.main && this.data.lined != null && page.view.k !== (this.told ?? +this.data.lined)) this.send("contours", this.told = page.view.k);
    const { data, parts } = this, many = data.across > 0, maps = many ? this.maps : [this.shown].filter(Boolean);
    if (this.panes?.length !== maps.length || this.many !== many) this.buildPanes(maps.length || 1, many);
    this.many = many;
    this.root.classList.toggle("many", many);
    parts.panes.style.setProperty("--across", many ? data.across : 1);
    this.panes.forEach((pane, i) => {
      pane.map = maps[i];
      pane.row.textContent = (many && pane.map?.row) || "";
      pane.name.textContent = (many && pane.map?.title) || "";
      pane.base.setAttribute("aria-label", pane.map ? [pane.map.name, ...pane.map.lines].join(". ") : "The photo");
      pane.note.textContent = many ? [...(pane.map?.lines ?? []), pane.map?.badge].filter(Boolean).join(" · ") : "";
    });
    const map = maps[0], other = map && !this.guest && map.id !== data.chosen && !many && !data.stage;
    parts.says.textContent = data.stage ? map?.says ?? "" : "";
    parts.lines.replaceChildren(...(many ? [] : [...(data.stage && map?.details ? [make("strong", {}, map.details)] : []), ...(map?.lines ?? []).map((line) => make("span", {}, line)),
      ...(map?.badge ? [make("span", { class: "badge" }, map.badge)] : []), ...(other && data.picks && map.pick != null ? [button("Show it on the whole page", () => this.send("pick", map.pick))] : []),
      ...(other && data.files ? [make("span", { class: "aside" }, data.files)] : [])]));
    this.buildTitle(map, many);
    this.buildLegend(maps);
    parts.steps.replaceChildren(...(data.stage ? stageTools(this) : []));
    this.tools.refresh();
    this.paint();
  }
  buildPanes(count, many) {
    this.panes = Array.from({ length: count }, (_, i) => {
      const [row, name, value, base, top, note] = ["h3", "span", "span", "canvas", "canvas", "p"].map((tag) => make(tag));
      row.className = "row"; name.className = "name"; value.className = "value"; note.className = "note";
      base.setAttribute("role", "img");
      top.setAttribute("aria-hidden", "true");
      const cover = make("div", { class: "cover" }, base, top);
      const box = make("div", { class: "pane" }, ...(many ? [make("div", { class: "paneHead" }, name, value)] : []), cover, ...(many ? [note] : []));
      const pane = { box, row, name, value, base, top, note };
      this.listen(pane);
      return pane;
    });
    this.parts.panes.replaceChildren(...this.panes.flatMap(({ row, box }) => (many ? [row, box] : [box])));
  }
  buildTitle(map, many) {
    const { facets, stage, heading } = this.data, { title } = this.parts;
    const show = (words, aside) => title.replaceChildren(make("h3", { "aria-level": 2 }, ...words), make("span", { class: "aside" }, aside));
    this.titled = this.titled && !many && !this.guest ? this.titled : null;
    if (many && heading) return show([heading], this.data.aside);
    if (many || !map || stage) return title.replaceChildren();
    if (this.guest || !facets.length) return show([map.title], map.aside);
    const chosen = map.facets.join("\n");
    if (this.titled === chosen) return;
    const words = facets.flatMap(({ name, before }, k) => {
      const values = [...new Set(this.maps.map((other) => other.facets[k]))];
      const pick = make("select", { "aria-label": name }, ...values.map((value) => make("option", {}, value)));
      pick.value = map.facets[k];
      pick.addEventListener("change", () => {
        const chosen = this.shown.facets.with(k, pick.value).join("\n");
        this.show(this.maps.find((other) => other.facets.join("\n") === chosen) ?? this.maps.find((other) => other.facets[k] === pick.value), true);
      });
      return [before, values.length > 1 ? pick : make("strong", {}, values[0])];
    });
    const focused = this.root.getRootNode().activeElement?.getAttribute("aria-label");
    show(words, map.aside);
    if (focused) title.querySelector(`select[aria-label="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    this.titled = chosen;
  }
  buildLegend(maps) {
    const drawn = maps.filter((map) => map && map.kind !== "photo");
    const kinds = [...new Map(drawn.map((map) => [`${map.kind} ${map.unitName}`, map])).values()];
    this.parts.legend.replaceChildren(...kinds.map((map) => (map.kind === "labels" ? keysOf(map, (label) => this.colourOf(label))
      : scaleOf(map, this.stops(map), limitOf(map, this.maps) * factorOf(map, this.maps), drawn.length > 1, unitOf(map, this.maps), endBefore(this, map, drawn)))));
  }
  colourOf(label) { return this.data.palette[label] ?? this.data.palette.at(-1); }

  help() { this.parts.help.hidden = !this.parts.help.hidden; }
  fullScreen() { return document.fullscreenElement ? document.exitFullscreen() : this.root.requestFullscreen?.(); }

  // Keys.

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("select, input"), { view } = page;
    const acts = { l: () => change({ u: 1 - view.u }), s: () => change({ s: 1 - view.s }), g: () => change({ g: 1 - view.g }), c: () => change({ k: 1 - view.k }), f: () => this.fullScreen(), "?": () => this.help(), z: () => change({ z: view.z * 1.5 }), x: () => change({ z: view.z / 1.5 }), 0: () => change({ z: 1, x: 50, y: 50 }),
      "+": () => change({ o: view.o + 5 }), "=": () => change({ o: view.o + 5 }), "-": () => change({ o: view.o - 5 }) };
    if (!typing && !this.data.stage) Object.assign(acts, { ArrowRight: () => this.step(1), ArrowLeft: () => this.step(-1) });
    if (event.key === "Enter" && event.target === this.root && this.cell) acts.Enter = () => this.choose(this.cell, this.cell);
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const act = event.shiftKey && step && !typing ? () => this.walk(...step) : acts[event.key];
    if (!act || (typing && event.target.matches("select"))) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }
  pressAnywhere(event) {
    if (event.composedPath()[0].matches?.("input, select, textarea, [contenteditable]") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "p" || (event.key === "Escape" && this.data.stage && !document.fullscreenElement)) this.present(!this.data.stage);
    if (!this.data.stage || event.shiftKey) return;
    const ahead = { ArrowRight: 1, PageDown: 1, " ": 1, ArrowLeft: -1, PageUp: -1 }[event.key], photos = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!ahead && !photos) return;
    event.preventDefault();
    return photos ? this.toPhoto(photos) : this.go(ahead);
  }
  present(on) { page.photosOn = 0; change({ m: "" }); this.send("present", on); }
  /** A step; past the last one the talk stops. Back from a photo that was come to leads to the last step before. */
  go(ahead) {
    if (this.step(ahead) || ahead > 0 || !page.photosOn) return;
    this.toPhoto(-1, true);
  }
  toPhoto(ahead, toLast = false) {
    Object.assign(page, { toLast, photosOn: Math.max(0, (page.photosOn ?? 0) + ahead) });
    this.send("walk", ahead);
  }
  step(ahead) {
    const next = this.many ? null : this.maps[this.maps.indexOf(this.shown) + ahead];
    return !!next && (this.show(next, true), true);
  }
  walk(down, right) {
    const { rows, columns } = this.shown ?? this.data.grid, [i, j] = this.cell ?? [-down, -right];
    this.hoverAt(Math.min(rows - 1, Math.max(0, i + down)), Math.min(columns - 1, Math.max(0, j + right)), rows, columns);
    this.parts.live.textContent = this.panes.map((pane) => this.reading(pane.map)).join(". ");
  }
  hoverAt(i, j, rows, columns) {
    const [left, top, right, bottom] = this.data.seen;
    page.hover = { photo: this.data.photo, at: [left + ((j + 0.5) / columns) * (right - left), top + ((i + 0.5) / rows) * (bottom - top)] };
    emit("hover");
  }

  // Pointer.

  get window() {
    const [width, height] = this.data.size, { z, x, y } = page.view, w = width / z, h = height / z;
    return { x: Math.min(width - w, Math.max(0, (x / 100) * width - w / 2)), y: Math.min(height - h, Math.max(0, (y / 100) * height - h / 2)), w, h };
  }
  pixel(pane, event) {
    const rect = pane.base.getBoundingClientRect(), seen = this.window;
    return [seen.x + ((event.clientX - rect.left) / rect.width) * seen.w, seen.y + ((event.clientY - rect.top) / rect.height) * seen.h];
  }
  place([x, y]) {
    const [left, top, right, bottom] = this.data.seen;
    return { u: (x - left) / (right - left), v: (y - top) / (bottom - top) };
  }
  listen(pane) {
    const { top } = pane;
    let from = null, last = null;
    top.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      from = last = this.pixel(pane, event);
      if (event.pointerType !== "touch") top.setPointerCapture(event.pointerId);
    });
    top.addEventListener("pointermove", (event) => {
      const at = this.pixel(pane, event), [width, height] = this.data.size;
      if (from && event.shiftKey) return change({ x: page.view.x - ((at[0] - last[0]) / width) * 100, y: page.view.y - ((at[1] - last[1]) / height) * 100 });
      last = at;
      this.drag = from && Math.hypot(at[0] - from[0], at[1] - from[1]) > this.window.w / 80 ? [from, at] : null;
      page.hover = { photo: this.data.photo, at };
      emit("hover");
    });
    top.addEventListener("pointerleave", () => { page.hover = null; emit("hover"); });
    top.addEventListener("pointercancel", () => { from = this.drag = null; });
    top.addEventListener("pointerup", (event) => {
      const drag = this.drag, begin = from;
      from = this.drag = null;
      if (!begin || event.shiftKey) return;
      const at = this.pixel(pane, event), map = pane.map ?? { rows: this.data.grid[0], columns: this.data.grid[1] };
      const ends = drag ?? [at, at], clip = (n) => Math.min(1 - 1e-9, Math.max(0, n));
      const [p, q] = ends.map((end) => this.place(end)), apart = (k) => Math.max(p[k], q[k]) <= 0 || Math.min(p[k], q[k]) >= 1;
      if (apart("u") || apart("v")) return; // nothing of what the network saw
      const [a, b] = ends.map((end) => { const { u, v } = this.place(end); return cellOf(map, { u: clip(u), v: clip(v) }); });
      this.choose([Math.min(a[0], b[0]), Math.min(a[1], b[1])], [Math.max(a[0], b[0]), Math.max(a[1], b[1])]);
    });
    top.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const [x, y] = this.pixel(pane, event), [width, height] = this.data.size, z = Math.max(1, page.view.z * Math.exp(-event.deltaY / 300)), k = page.view.z / z;
      const seen = this.window, cx = x + (seen.x + seen.w / 2 - x) * k, cy = y + (seen.y + seen.h / 2 - y) * k;
      change({ z, x: (cx / width) * 100, y: (cy / height) * 100 });
    }, { passive: false });
  }
  choose(first, last) { this.send("region", { positions: [...first, ...last] }); }

  // Reading a position.

  /** The place under the pointer: all viewers of one photo share it, pixel for pixel. */
  get hover() { return page.hover?.photo === this.data.photo ? this.place(page.hover.at) : null; }
  reading(map) {
    const cell = map && this.hover && cellOf(map, this.hover), factor = cell ? factorOf(map, this.maps) : 1;
    const calibrated = factor === 1 ? "" : ` · ${signed(map.values[cell[0] * map.columns + cell[1]] * factor)} calibrated`;
    return cell ? readPosition(map, cell) + calibrated : "";
  }
  point() {
    const lead = this.panes?.[0]?.map;
    this.cell = lead && this.hover && cellOf(lead, this.hover);
    for (const pane of this.panes ?? []) {
      if (this.many) {
        const cell = pane.map && this.hover && cellOf(pane.map, this.hover);
        const value = cell && pane.map.values[cell[0] * pane.map.columns + cell[1]];
        pane.value.textContent = cell ? (pane.map.kind === "labels" ? pane.map.legend[value] ?? "" : written(value, pane.map.unit, pane.map.kind))
          : page.view.u && pane.map && pane.map.kind !== "labels" ? `max ${written(limitOf(pane.map, this.maps), pane.map.unit, "")}` : "";
      }
      this.outline(pane);
    }
    this.parts.readout.textContent = this.reading(lead) || lead?.caption || this.data.caption;
  }

  // Drawing.

  paint() {
    const image = this.data && page.photos.get(this.data.photo);
    if (!image || !this.panes) return;
    const ratio = window.devicePixelRatio || 1, [wide, high] = photoSize(this);
    for (const pane of this.panes) {
      for (const canvas of [pane.base, pane.top]) {
        canvas.style.width = `${wide}px`;
        canvas.style.height = `${high}px`;
        const [w, h] = [Math.max(1, Math.round(wide * ratio)), Math.max(1, Math.round(high * ratio))];
        if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
      }
      this.draw(pane, image);
    }
    this.point();
  }
  /** Left, top, width, height on a canvas of a box of the photo, in whole pixels. */
  onCanvas(canvas, [left, top, right, bottom]) {
    const seen = this.window, x = (value) => Math.round(((value - seen.x) / seen.w) * canvas.width), y = (value) => Math.round(((value - seen.y) / seen.h) * canvas.height);
    return [x(left), y(top), Math.max(1, x(right) - x(left)), Math.max(1, y(bottom) - y(top))];
  }
  draw({ base, map }, image) {
    const context = base.getContext("2d"), seen = this.onCanvas(base, this.data.seen);
    context.drawImage(this.backdrop(base, image, true), 0, 0);
    if (!map?.values || map.kind === "photo") return;
    context.save();
    context.beginPath();
    context.rect(0, 0, (base.width * page.view.w) / 100, base.height);
    context.clip();
    if (!page.view.g) context.drawImage(this.backdrop(base, image, false), 0, 0);
    context.globalAlpha = page.view.o / 100;
    context.imageSmoothingEnabled = !!page.view.s && map.kind !== "labels";
    context.drawImage(this.picture(map), ...seen);
    context.globalAlpha = 1;
    const [left, top, width, height] = seen, corner = (i, j) => [left + Math.round((j * width) / map.columns), top + Math.round((i * height) / map.rows)];
    if (page.view.k && map.kind !== "labels") drawContours(context, map, Math.max(1, Math.round(window.devicePixelRatio || 1)), corner);
    context.restore();
    if (page.view.w < 100 && page.view.w > 0) context.fillRect((base.width * page.view.w) / 100, 0, 1, base.height);
  }
  /** The photo in its colours, or in the greys that lie under a map. */
  backdrop(canvas, image, inColour) {
    const seen = this.window, key = [this.data.photo, canvas.width, canvas.height, Object.values(seen), this.data.seen].join();
    if (this.backed !== key) Object.assign(this, { backed: key, backdrops: {} });
    return this.backdrops[inColour] ??= drawPhoto(image, canvas, seen, this.data.size, this.onCanvas(canvas, this.data.seen), inColour);
  }
  picture(map) {
    const { s, t, p } = page.view, labels = map.kind === "labels", limit = labels ? 1 : limitOf(map, this.maps), stops = labels ? this.data.palette : this.stops(map);
    const key = [limit, s, t, p, stops].join(), id = map === this.guest ? "guest" : map.id;
    if (this.painted.get(id)?.key !== key) {
      const canvas = labels ? drawLabels(map, (label) => this.colourOf(label)) : drawMap(map, { limit, stops, smooth: !!s, threshold: t / 100, positive: !!p });
      this.painted.set(id, { key, canvas });
    }
    return this.painted.get(id).canvas;
  }
  outline({ top, map }) {
    const context = top.getContext("2d"), line = Math.max(1, Math.round(window.devicePixelRatio || 1));
    context.clearRect(0, 0, top.width, top.height);
    const frame = (box, colour, width, dash) => drawFrame(context, this.onCanvas(top, box), colour, width, dash);
    const both = (box, width, dash) => { frame(box, "#ffffff", width + 2 * line); frame(box, "#141414", width, dash); };
    for (const cell of map?.ignored ?? []) drawCross(context, this.onCanvas(top, this.rectangle(map, ...cell, ...cell)), line);
    if (map?.mark) frame(this.rectangle(map, ...map.mark, ...map.mark), "#141414", line);
    if (map?.box) both(map.box, 2 * line, [6 * line, 4 * line]);
    if (this.data.region && map) frame(this.rectangle(map, ...this.data.region), "#c8792f", 3 * line);
    const cell = map && this.hover && cellOf(map, this.hover);
    if (cell) both(this.rectangle(map, ...cell, ...cell), line);
    if (this.drag) both(boxOf(...this.drag), line);
  }
  rectangle({ rows, columns }, top, left, bottom, right) {
    const [l, t, r, b] = this.data.seen, x = (n) => l + (n * (r - l)) / columns, y = (n) => t + (n * (b - t)) / rows;
    return [x(left), y(top), x(right + 1), y(bottom + 1)];
  }
}

page.parts.viewer = ({ data, parentElement, setTriggerValue }) => {
  const root = parentElement.querySelector(".viewer");
  root.viewer ??= new Viewer(root);
  root.viewer.receive(data, setTriggerValue);
};
