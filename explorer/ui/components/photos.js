// Many photos with their evidence as one wall of tiles. They come on sheets of so many photos, those that are in sight
// first: what is not here yet is an empty tile, and is asked for once the scrolling rests. A click opens a photo.
const CAPTION = 31, REST = 60, MOST_SHEETS = 40; // px, ms; sheets kept

class Photos extends Tiles {
  constructor(root) {
    super(root, "Photos");
    this.sheets = new Map();
  }

  get count() { return this.data.total; }
  get layout() {
    if (!this.data) return null;
    const row = this.rowOf(this.data.side);
    return { ...row, step: row.wide + CAPTION + GAP };
  }

  receive(data, send) {
    const other = this.data?.selection !== data.selection;
    Object.assign(this, { data, send, asked: null });
    if (other) { this.sheets.clear(); this.scroller.scrollTop = 0; this.at = null; }
    for (const [number, sheet] of Object.entries(data.sheets)) {
      if (this.sheets.has(Number(number))) continue;
      const image = new Image();
      image.onload = () => this.paint();
      image.src = sheet.picture;
      keep(this.sheets, Number(number), { image, captions: sheet.captions, sizes: sheet.sizes }, MOST_SHEETS);
    }
    this.paint();
    if (other && data.chosen != null) { this.at = data.chosen; this.reveal(data.chosen); this.paint(); }
  }

  caption(n) { return this.sheets.get(Math.floor(n / this.data.on))?.captions[n % this.data.on]; }
  paint() {
    if (!this.data || !this.scroller.clientWidth) return;
    const { wide } = this.layout, { on, across, tile } = this.data, style = getComputedStyle(this.root), missing = new Set();
    const context = this.canvas.getContext("2d"), ink = (name) => style.getPropertyValue(name);
    this.drawInSight(context, this.layout, (n, x, y) => {
      const sheet = this.sheets.get(Math.floor(n / on)), place = n % on;
      if (!sheet) missing.add(Math.floor(n / on));
      if (!sheet?.image.complete) {
        context.fillStyle = ink("--track");
        context.fillRect(x, y, wide, wide);
      } else {
        const [first, second, wrong] = sheet.captions[place], [width, height] = sheet.sizes[place], scale = wide / tile;
        const left = (tile - width) / 2, top = (tile - height) / 2; // each lies in the middle of its square
        context.drawImage(sheet.image, (place % across) * tile + Math.floor(left), Math.floor(place / across) * tile + Math.floor(top), width, height,
          x + left * scale, y + top * scale, width * scale, height * scale);
        context.font = `600 12px ${style.fontFamily}`;
        this.write(context, first, x, y + wide + 12, wide, ink(wrong ? "--for" : "--ink"));
        context.font = `12px ${style.fontFamily}`;
        this.write(context, second, x, y + wide + 26, wide, ink("--quiet"));
      }
      if (n === this.at) {
        context.strokeStyle = ink("--for");
        context.lineWidth = 2;
        context.strokeRect(x + 1, y + 1, wide - 2, wide - 2);
      }
    });
    const [first, second, , path] = (this.at != null && this.caption(this.at)) || [];
    this.status.textContent = path ? `${path}: ${first}${second ? `, ${second}` : ""}` : this.data.status;
    this.canvas.setAttribute("aria-label", this.status.textContent);
    if (missing.size) this.request(missing);
  }
  /** Text that fits: its end is cut, and says so. */
  write(context, text, x, y, wide, colour) {
    context.fillStyle = colour;
    let shown = text;
    while (shown && context.measureText(shown === text ? shown : `${shown}…`).width > wide - 4) shown = shown.slice(0, -1);
    context.fillText(shown === text ? shown : `${shown}…`, x + 1, y);
  }
  request(missing) {
    clearTimeout(this.resting);
    this.resting = setTimeout(() => {
      const wanted = [...missing].slice(0, 6);
      if (this.asked === wanted.join()) return;
      this.asked = wanted.join();
      this.send("sheets", wanted);
    }, REST);
  }
  point(n) {
    if (n === this.at) return;
    this.at = n;
    this.paint();
  }
  choose(n) { if (n != null) this.send("photo", n); }
}

page.parts.photos = ({ data, parentElement, setTriggerValue }) => {
  const root = parentElement.querySelector(".wall");
  root.wall ??= new Photos(root);
  root.wall.receive(data, setTriggerValue);
};
