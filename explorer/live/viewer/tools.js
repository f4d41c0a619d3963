// What stands around a viewer's maps: tools, which change the view that all viewers of a page share, and legends.
const KEYS = [["← →", "the map before, the next"], ["+ −", "opacity"], ["l", "one scale for all, or each its own"],
  ["s", "squares, or smoothed"], ["g", "the photo in greys, or in its colours"], ["c", "contour lines"], ["Shift and arrows", "go through the positions"], ["Enter", "choose the position"],
  ["drag", "choose a box"], ["z, x, 0", "zoom in, out, back (or Ctrl and wheel; Shift and drag moves)"],
  ["f", "full screen"], ["p", "present, and back"], ["?", "this list"]];

function button(text, act, attributes = {}) {
  const element = make("button", { type: "button", ...attributes }, text);
  element.addEventListener("click", act);
  return element;
}

class Tools {
  constructor(root, { toolbar, schemeNames }, { fullScreen, help, compares }) {
    this.controls = []; // each brings one tool in step with the view
    if (!toolbar) return root.replaceChildren();
    const more = make("div", { class: "more" }, this.slider("Threshold", "t", (t) => (t ? `from ${t}% of the largest` : "off")),
      this.slider("Wipe", "w", (w) => (w < 100 ? `map on the left ${w}%` : "off")), this.choice("Colours", "c", schemeNames),
      this.toggle("Positive only", "p"), this.toggle("Contours", "k"), button("Zoom in", () => change({ z: page.view.z * 1.5 })),
      button("Zoom out", () => change({ z: page.view.z / 1.5 })), button("Whole photo", () => change({ z: 1, x: 50, y: 50 })), button("Full screen", fullScreen));
    more.hidden = true;
    const opener = button("More", () => { more.hidden = !more.hidden; opener.setAttribute("aria-expanded", String(!more.hidden)); }, { "aria-expanded": "false" });
    root.replaceChildren(this.slider("Opacity", "o", (o) => `${o}%`), this.toggle("Shared scale", "u", true), this.rawLogits(compares), this.toggle("Smooth", "s"), this.toggle("Photo in colour", "g"),
      opener, button("?", help, { "aria-label": "List of keys" }), more);
  }
  refresh() {
    for (const control of this.controls) control();
  }
  slider(name, key, toShow) {
    const input = make("input", { type: "range", min: LIMITS[key][0], max: LIMITS[key][1], step: 1, "aria-label": name }), output = make("output");
    input.addEventListener("input", () => change({ [key]: +input.value }));
    this.controls.push(() => { input.value = page.view[key]; output.textContent = toShow(page.view[key]); });
    return make("label", {}, `${name} `, input, output);
  }
  choice(name, key, options) {
    const select = make("select", { "aria-label": name }, ...options.map((option, i) => make("option", { value: i }, option)));
    select.addEventListener("change", () => change({ [key]: +select.value }));
    this.controls.push(() => { select.value = page.view[key]; });
    return make("label", {}, `${name} `, select);
  }
  /** Only where maps under several poolings share a scale. */
  rawLogits(compares) {
    const element = this.toggle("Raw logits", "r");
    element.title = "Otherwise the logits under each pooling are multiplied by the number that calibrates its probabilities.";
    this.controls.push(() => { element.hidden = !compares(); });
    return element;
  }
  toggle(text, key, flipped = false) {
    const element = button(text, () => change({ [key]: 1 - page.view[key] }));
    this.controls.push(() => element.setAttribute("aria-pressed", String(!!page.view[key] !== flipped)));
    return element;
  }
}

/** In a talk: back and on for those without keys, how far it is, the next photo once it is over, and the way out. */
function stageTools(viewer) {
  const place = `${viewer.maps.indexOf(viewer.shown) + 1} of ${viewer.maps.length}`;
  return [button("‹", () => viewer.go(-1), { "aria-label": "Step back" }), make("span", {}, place),
    button("›", () => viewer.go(1), { "aria-label": "Next step" }),
    button("↓", () => viewer.toPhoto(1), { "aria-label": "Next photo", title: "Next photo" }), button("Leave", () => viewer.present(false))];
}

/** The legend of a map of labels. */
function keysOf(map, colourOf) {
  return make("div", { class: "scale" }, ...map.legend.map((name, i) => make("span", { class: "key", style: `--key: #${colourOf(i)}` }, name)));
}

/** The legend of maps with a scale, in their unit; `was` is its end before it changed by itself. */
function scaleOf(map, stops, limit, several, unit, was) {
  const { u: apart, p: positive, s: smooth, k: contours } = page.view, signedScale = map.kind === "signed";
  const end = (share) => (map.unit === "" ? (share < 0 ? "1 against" : signedScale ? "1 for" : "1")
    : apart && several ? (share < 0 ? "own least" : "own most") : written(share * limit, map.unit, map.kind));
  const bar = { class: "bar", role: "img", "aria-label": signedScale ? "Blue is against it, red for it" : "From nothing to the most", style: `background: ${gradient(stops)}` };
  return make("div", { class: "scale" }, make("span", {}, signedScale && !positive ? end(-1) : "0"), make("div", bar),
    make("span", {}, end(1)), make("span", {}, unit), ...(smooth ? [make("strong", {}, "smoothed")] : []),
    ...(was ? [make("strong", {}, `the scale changed: it ended at ${written(was, map.unit, map.kind)}`)] : []),
    ...(contours ? [make("span", { class: "wide" }, `lines around ${CONTOURS.map(({ share }) => percent(share)).join(", ")} of the positive ${map.unit === "logits" ? "evidence" : "part"}, thick to thin`)] : []));
}

