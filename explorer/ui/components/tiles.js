// Tiles on one canvas, of which only those in sight are drawn: what the wall of channels and the wall of photos share.
// Who extends it has `count`, `layout` with {across, wide, step}, `paint()`, `point(n)` and `choose(n)`.
const GAP = 2;

class Tiles {
  constructor(root, name) {
    this.root = root;
    this.canvas = make("canvas", { role: "img" });
    this.scroller = make("div", { class: "scroller", tabindex: "0", role: "group", "aria-label": name }, make("div", { class: "length" }), this.canvas);
    this.status = make("p", { class: "status", "aria-live": "polite" });
    this.tools = make("div", { class: "tools" }, this.status);
    root.append(this.tools, this.scroller);
    this.scroller.addEventListener("scroll", () => this.paint());
    this.scroller.addEventListener("pointermove", (event) => this.point(this.under(event)));
    this.scroller.addEventListener("pointerleave", () => this.point(null));
    this.scroller.addEventListener("click", (event) => this.choose(this.under(event)));
    this.scroller.addEventListener("keydown", (event) => this.press(event));
    new ResizeObserver(() => this.paint()).observe(root);
  }

  /** So many tiles of about a side in a row that they fill it. */
  rowOf(side) {
    const room = this.scroller.clientWidth, across = Math.max(1, Math.floor((room + GAP) / (side + GAP)));
    return { room, across, wide: (room + GAP) / across - GAP };
  }
  /** The canvas made as large as what is in sight, and cleared; `each(n, x, y)` is called for the tiles there. */
  drawInSight(context, { room, across, wide, step }, each) {
    const ratio = window.devicePixelRatio || 1, { canvas } = this, all = Math.ceil(this.count / across) * step;
    this.scroller.firstChild.style.height = `${all}px`;
    this.scroller.style.maxHeight = `${all}px`;
    const tall = this.scroller.clientHeight;
    if (canvas.width !== Math.round(room * ratio) || canvas.height !== Math.round(tall * ratio)) Object.assign(canvas, { width: Math.round(room * ratio), height: Math.round(tall * ratio) });
    Object.assign(canvas.style, { width: `${room}px`, height: `${tall}px` });
    const scrolled = this.scroller.scrollTop, first = Math.max(0, Math.floor(scrolled / step));
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, room, tall);
    for (let n = first * across; n < this.count && Math.floor(n / across) * step < scrolled + tall; n++)
      each(n, (n % across) * (wide + GAP), Math.floor(n / across) * step - scrolled);
  }
  under(event) {
    if (!this.layout) return null;
    const box = this.scroller.getBoundingClientRect(), { across, wide, step } = this.layout;
    const column = Math.floor((event.clientX - box.left) / (wide + GAP)), n = Math.floor((event.clientY - box.top + this.scroller.scrollTop) / step) * across + column;
    return column >= 0 && column < across && n < this.count ? n : null;
  }
  reveal(n) {
    if (n < 0 || !this.layout) return;
    const { across, step } = this.layout, y = Math.floor(n / across) * step;
    if (y < this.scroller.scrollTop || y + step > this.scroller.scrollTop + this.scroller.clientHeight) this.scroller.scrollTop = y;
  }
  press(event) {
    if (!this.layout) return;
    const { across } = this.layout, end = { Home: 0, End: this.count - 1 }[event.key], step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across }[event.key];
    if (event.key === "Enter" && this.at != null) this.choose(this.at);
    if ((!step && end === undefined) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const next = end ?? (this.at == null ? 0 : Math.min(this.count - 1, Math.max(0, this.at + step)));
    this.reveal(next);
    this.point(next);
  }
}
