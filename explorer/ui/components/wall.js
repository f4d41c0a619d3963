// All channels as one wall of tiles. The order comes from Python; the tile under the pointer is shown by the viewer that
// follows this wall, and a click chooses a channel.
const LABEL = 15;

class Wall extends Tiles {
  constructor(root) {
    super(root, "Channels");
    this.shared = make("button", { type: "button" });
    this.scale = make("span", { class: "legend" });
    this.tools.append(this.scale, this.shared);
    this.shared.addEventListener("click", () => change({ u: 1 - page.view.u }));
    whileShown(root, page.bus, "view", () => this.data && this.paint());
    whileShown(root, page.bus, "pack", (event) => event.detail === this.data?.pack && this.paint());
  }

  get count() { return this.data.order.length; }
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
    const pack = page.packs.get(this.data?.pack);
    if (!pack) return null;
    const row = this.rowOf(this.data.side), high = row.wide * Math.min(2, pack.rows / pack.columns);
    return { ...row, pack, high, step: high + LABEL + GAP };
  }
  paint() {
    if (!this.data || !page.packs.has(this.data.pack) || !this.scroller.clientWidth) return;
    const { pack, wide, high } = this.layout, { order, chosen, beside, numbers } = this.data;
    if (!this.tiles || this.drawnApart !== page.view.u) this.drawTiles(pack);
    const inRow = this.inRow(pack), { canvas } = this, style = getComputedStyle(this.root), context = canvas.getContext("2d");
    this.drawInSight(context, this.layout, (n, x, y) => {
      const channel = order[n];
      context.imageSmoothingEnabled = false;
      context.font = `11px ${style.fontFamily}`;
      context.drawImage(this.tiles, (channel % inRow) * pack.columns, Math.floor(channel / inRow) * pack.rows, pack.columns, pack.rows, x, y, wide, high);
      context.fillStyle = style.getPropertyValue(this.data.contributes && numbers[channel] < -0.005 ? "--against" : "--ink");
      context.fillText(wide > 50 ? `${channel}  ${this.number(channel)}` : channel, x + 1, y + high + 11, wide);
      if (n === this.at || channel === chosen || channel === beside) {
        context.strokeStyle = style.getPropertyValue(channel === chosen ? "--for" : channel === beside ? "--logit" : "--ink");
        context.lineWidth = 2;
        context.strokeRect(x + 1, y + 1, wide - 2, high - 2);
      }
    });
    this.shared.textContent = "Shared scale";
    this.shared.setAttribute("aria-pressed", String(!page.view.u));
    this.scale.textContent = page.view.u ? "each map 0 to its own largest" : `0 to ${this.most.toFixed(1)}, one scale`;
    const pointed = this.at == null ? null : order[this.at];
    this.status.textContent = pointed == null ? this.data.status : `Channel ${pointed}: ${this.caption(pointed)}`;
    canvas.setAttribute("aria-label", this.status.textContent);
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
}

page.parts.wall = ({ data, parentElement, setTriggerValue }) => {
  const root = parentElement.querySelector(".wall");
  root.wall ??= new Wall(root);
  root.wall.receive(data, setTriggerValue);
};
