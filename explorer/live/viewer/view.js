// How viewers show their maps: one state for all viewers of a page, kept in the page's link without asking the server.
// o opacity, s smoothed, g the photo in its own colours, u own scales, r raw logits, t threshold, w wipe, c colours, p positive only, k contours, z x y zoom, m the map.
const USUAL = { o: 85, s: 0, g: 0, u: 0, r: 0, t: 0, w: 100, c: 0, p: 0, k: 0, z: 1, x: 50, y: 50, m: "" };
const LIMITS = { o: [0, 100], s: [0, 1], g: [0, 1], u: [0, 1], r: [0, 1], t: [0, 95], w: [0, 100], c: [0, 2], p: [0, 1], k: [0, 1], z: [1, 12], x: [0, 100], y: [0, 100] };

/** What the link says: behind its "?", or on a page without a server behind its "#", which a file's address may have. */
const linked = () => new URLSearchParams(page.hashed ? location.hash.slice(1) : location.search);
/** Write names and texts into the link; an empty text takes its name away. */
function relink(changes) {
  const parts = linked(), url = new URL(location.href);
  for (const [name, text] of Object.entries(changes)) if (text) parts.set(name, text); else parts.delete(name);
  url[page.hashed ? "hash" : "search"] = parts;
  if (url.href !== location.href) history.replaceState(history.state, "", url);
}
/** The view's text in the link: a letter and a value each, what is usual left out; "o60_s1_m652.gmp". */
function readView() {
  const view = { ...USUAL };
  for (const part of (linked().get("view") ?? "").split("_")) {
    const [key, text] = [part[0], part.slice(1)], [low, high] = LIMITS[key] ?? [];
    if (key === "m") view.m = text;
    else if (low !== undefined && text && ("zxy".includes(key) ? Number.isFinite : Number.isInteger)(+text)) view[key] = Math.min(high, Math.max(low, +text));
  }
  return view;
}
function rememberView() {
  clearTimeout(page.timer);
  page.timer = setTimeout(() => {
    const { view } = page, text = Object.keys(USUAL).filter((key) => view[key] !== USUAL[key])
      .map((key) => key + (typeof view[key] === "number" ? +view[key].toFixed(2) : view[key])).join("_");
    if ((linked().get("view") ?? "") !== text) relink({ view: text });
  }, 250);
}
function change(changes) {
  for (const [key, value] of Object.entries(changes))
    page.view[key] = LIMITS[key] ? Math.min(LIMITS[key][1], Math.max(LIMITS[key][0], value)) : value;
  rememberView();
  emit("view");
}
/** The map that was chosen on this page; another page begins with its own. */
function chosenMap() {
  if (page.path !== location.pathname) { page.path = location.pathname; page.view.m = ""; }
  return page.view.m;
}
if (!page.view) {
  Object.assign(page, { view: readView(), path: location.pathname });
  window.addEventListener("popstate", () => { Object.assign(page, { view: readView(), path: location.pathname, returned: performance.now() }); emit("view"); });
}

