// All channels as one wall of tiles on one canvas: only the tiles in sight are drawn. The order comes from Python; the
// tile under the pointer is shown by the viewer that follows this wall, and a click chooses a channel.
const GAP = 2, LABEL = 15;

class Wall {
  constructor(root) {
    this.root = root;
    this.canvas = make("canvas", { role: "img" });
    this.scroller = make("div", { class: "scroller", tabindex: "0", role: "group", "aria-label": "Channels" }, make("div", { class: "length" }), this.canvas);
    this.status = make("p", { class: "status", "aria-live": "polite" });
    this.shared = make("button", { type: "button" });
    this.scale = make("span", { class: "legend" });
    root.append(make("div", { class: "tools" }, this.status, this.scale, this.shared), this.scroller);
    this.shared.addEventListener("click", () => change({ u: 1 - page.view.u }));
    this.scroller.addEventListener("scroll", () => this.paint());
    this.scroller.addEventListener("pointermove", (event) => this.point(this.under(event)));
    this.scroller.addEventListener("pointerleave", () => this.point(null));
    this.scroller.addEventListener("click", (event) => this.choose(this.under(event)));
    this.scroller.addEventListener("keydown", (event) => this.press(event));
    new ResizeObserver(() => this.paint()).observe(root);
    whileShown(root, page.bus, "view", () => this.data && this.paint());
    whileShown(root, page.bus, "pack", (event) => event.detail === this.data?.pack && this.paint());
  }

  receive(data, send) {
    const before = this.data;
    Object.assign(this, { data, send });
    if (before?.pack !== data.pack) this.tiles = null;
    if (before && before.order.join() !== data.order.join()) this.scroller.scrollTop = 0;
    if (before?.order.join() !== data.order.join()) this.at = null;
    this.paint();
    if (!before && data.chosen != null) this.reveal(data.order.indexOf(data.chosen));
  }

  /** So many maps in a row of the atlas that no browser refuses a canvas of that width. */
  inRow(pack) { return Math.max(1, Math.min(64, Math.floor(16000 / pack.columns))); }
  /** A tile's number: a contribution with its sign, or a plain number of the map. */
  number(channel) { return this.data.contributes ? signed(this.data.numbers[channel]) : plain(this.data.numbers[channel]); }
  caption(channel) { return this.data.caption.replace("%", this.number(channel)); }
  /** Every map, one pixel a position, side by side on one canvas. */
  drawTiles(pack) {
    const across = this.inRow(pack), atlas = Object.assign(document.createElement("canvas"), { width: across * pack.columns, height: Math.ceil(pack.n / across) * pack.rows });
    const kind = this.data.kind, stops = this.data.schemes[kind][0], colours = table(stops), picture = new ImageData(atlas.width, atlas.height);
    this.drawnApart = page.view.u;
    const maps = Array.from({ length: pack.n }, (_, i) => pack.at(i));
    this.most = maps.reduce((most, map) => map.reduce((soFar, value) => Math.max(soFar, Math.abs(value) || 0), most), 0) || 1;
    maps.forEach((map, i) => {
      const limit = page.view.u ? largest(map, kind) : this.most, left = (i % across) * pack.columns, top = Math.floor(i / across) * pack.rows;
      for (let k = 0; k < map.length; k++) {
        const part = Number.isFinite(map[k]) ? Math.max(kind === "signed" ? -1 : 0, Math.min(1, map[k] / limit)) : 0;
        const from = Math.round((kind === "signed" ? (part + 1) / 2 : part) * 256) * 3;
        const to = ((top + Math.floor(k / pack.columns)) * atlas.width + left + (k % pack.columns)) * 4;
        picture.data.set([colours[from], colours[from + 1], colours[from + 2], 255], to);
      }
    });
    atlas.getContext("2d").putImageData(picture, 0, 0);
    this.tiles = atlas;
  }
  get layout() {
    const pack = page.packs.get(this.data.pack), room = this.scroller.clientWidth, side = this.data.side;
    const across = Math.max(1, Math.floor((room + GAP) / (side + GAP))), wide = (room + GAP) / across - GAP;
    return { pack, room, across, wide, high: wide * Math.min(2, pack.rows / pack.columns), step: wide * Math.min(2, pack.rows / pack.columns) + LABEL + GAP };
  }
  paint() {
    if (!this.data || !page.packs.has(this.data.pack) || !this.scroller.clientWidth) return;
    const { pack, room, across, wide, high, step } = this.layout, { order, chosen, beside, numbers } = this.data, ratio = window.devicePixelRatio || 1;
    if (!this.tiles || this.drawnApart !== page.view.u) this.drawTiles(pack);
    const inRow = this.inRow(pack), tall = this.scroller.clientHeight, { canvas } = this, style = getComputedStyle(this.root);
    this.scroller.firstChild.style.height = `${Math.ceil(order.length / across) * step}px`;
    if (canvas.width !== Math.round(room * ratio) || canvas.height !== Math.round(tall * ratio)) Object.assign(canvas, { width: Math.round(room * ratio), height: Math.round(tall * ratio) });
    Object.assign(canvas.style, { width: `${room}px`, height: `${tall}px` });
    const context = canvas.getContext("2d"), scrolled = this.scroller.scrollTop, first = Math.max(0, Math.floor(scrolled / step));
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, room, tall);
    context.imageSmoothingEnabled = false;
    context.font = `11px ${style.fontFamily}`;
    for (let n = first * across; n < order.length && Math.floor(n / across) * step < scrolled + tall; n++) {
      const channel = order[n], x = (n % across) * (wide + GAP), y = Math.floor(n / across) * step - scrolled;
      context.drawImage(this.tiles, (channel % inRow) * pack.columns, Math.floor(channel / inRow) * pack.rows, pack.columns, pack.rows, x, y, wide, high);
      context.fillStyle = style.getPropertyValue(this.data.contributes && numbers[channel] < -0.005 ? "--against" : "--ink");
      context.fillText(wide > 50 ? `${channel}  ${this.number(channel)}` : channel, x + 1, y + high + 11, wide);
      if (n === this.at || channel === chosen || channel === beside) {
        context.strokeStyle = style.getPropertyValue(channel === chosen ? "--for" : channel === beside ? "--logit" : "--ink");
        context.lineWidth = 2;
        context.strokeRect(x + 1, y + 1, wide - 2, high - 2);
      }
    }
    this.shared.textContent = "Shared scale";
    this.shared.setAttribute("aria-pressed", String(!page.view.u));
    this.scale.textContent = page.view.u ? "each map 0 to its own largest" : `0 to ${this.most.toFixed(1)}, one scale`;
    const pointed = this.at == null ? null : order[this.at];
    this.status.textContent = pointed == null ? this.data.status : `Channel ${pointed}: ${this.caption(pointed)}`;
    canvas.setAttribute("aria-label", this.status.textContent);
  }
  under(event) {
    if (!page.packs.has(this.data?.pack)) return null;
    const box = this.scroller.getBoundingClientRect(), { across, wide, step } = this.layout;
    const column = Math.floor((event.clientX - box.left) / (wide + GAP)), n = Math.floor((event.clientY - box.top + this.scroller.scrollTop) / step) * across + column;
    return column >= 0 && column < across && n < this.data.order.length ? n : null;
  }
  point(n) {
    if (n === this.at) return;
    this.at = n;
    this.paint();
    const pack = page.packs.get(this.data.pack), channel = n == null ? null : this.data.order[n];
    emit("show", { from: this.data.key, map: channel == null ? null : {
      id: `channel.${channel}`, values: pack.at(channel), rows: pack.rows, columns: pack.columns, kind: this.data.kind, unit: "activation", unitName: "activation",
      title: `Channel ${channel}`, name: `Where channel ${channel} responds`, aside: `${pack.rows} × ${pack.columns} positions`, limit: this.most,
      lines: [this.caption(channel)], facets: [], legend: [] } });
  }
  choose(n) { if (n != null) this.send("channel", this.data.order[n]); }
  reveal(n) {
    if (n < 0 || !page.packs.has(this.data.pack)) return;
    const { across, step } = this.layout, y = Math.floor(n / across) * step;
    if (y < this.scroller.scrollTop || y + step > this.scroller.scrollTop + this.scroller.clientHeight) this.scroller.scrollTop = y;
  }
  press(event) {
    const { across } = this.layout, step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across }[event.key];
    if (event.key === "Enter" && this.at != null) this.choose(this.at);
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const next = this.at == null ? 0 : Math.min(this.data.order.length - 1, Math.max(0, this.at + step));
    this.reveal(next);
    this.point(next);
  }
}

page.parts.wall = ({ data, parentElement, setTriggerValue }) => {
  const root = parentElement.querySelector(".wall");
  root.wall ??= new Wall(root);
  root.wall.receive(data, setTriggerValue);
};
