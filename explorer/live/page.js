// A page that is handed on: its photos, the link that keeps what is chosen, themes, keys and a talk. The panel shows
// the rest. explorer/live/page.py writes what it reads.
const $ = (id) => document.getElementById(id);
const CHANGE = /^(k\d{1,6}x\d{1,2}(\.\d{1,3})?|p\d{1,3}\.\d{1,3})(_(k\d{1,6}x\d{1,2}(\.\d{1,3})?|p\d{1,3}\.\d{1,3}))*$/;
const ARROWS = { ArrowDown: 1, ArrowUp: -1 }, OF_A_TALK = { ...ARROWS, PageDown: 1, PageUp: -1 };

class LivePage {
  constructor() {
    Object.assign(this, this.read("about"));
    this.shown = new Map(); // the photos seen last, unpacked
    this.panel = new LivePanel($("panel"), { act: (name, detail) => name === "state" && this.choose(detail) });
    this.state = { ...this.state, parameter: this.state.parameter ?? undefined };
    this.usual = this.state;
    this.buildButtons();
    this.buildStrip();
    this.present(linked().get("present") === "1");
    this.theme(linked().get("theme"));
    document.addEventListener("keydown", (event) => this.press(event));
    window.addEventListener("hashchange", () => this.follow());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.theme(linked().get("theme")));
  }
  read(name) { return JSON.parse($(name).textContent); }

  // Photos.

  /** Show a photo by its place from 0; `state` as the panel has it. */
  async show(place, state) {
    const turn = (this.turn = {});
    const { network, maps, photo, data, image } = await this.unpacked(place);
    if (this.turn !== turn) return; // another one was asked for meanwhile
    keep(page.photos, photo.key, image);
    emit("photo", photo.key);
    Object.assign(this, { place, network, maps, data, missing: photo.missing });
    this.state = this.checked(state);
    this.describe();
    [...$("strip").children].forEach((one, n) => (n === place ? one.setAttribute("aria-current", "true") : one.removeAttribute("aria-current")));
    $("strip").children[place]?.scrollIntoView({ block: "nearest", inline: "nearest" });
    $("panel").querySelector(".skeleton")?.remove();
    this.panel.show({ network, maps, photo, state: this.state });
    this.remember();
  }
  async unpacked(place) {
    if (!this.shown.has(place)) keep(this.shown, place, this.unpack(place));
    return this.shown.get(place);
  }
  async unpack(place) {
    const { key, name } = this.photos[place], { recipe, photo: src, maps: packed, ...data } = this.read(`photo-${place}`);
    this.networkData ??= this.read("network");
    const network = data.heads ? await LiveNetwork.read({ ...this.networkData, ...data }) : await (this.common ??= LiveNetwork.read(this.networkData));
    const [F, image] = await Promise.all([unpackExactly(packed), pictureOf(src, data.size)]);
    const photo = { key, name, size: data.size, seen: data.seen, missing: !src };
    return { network, maps: new LiveMaps(network, F, packed.shape), photo, image, data: { ...data, recipe } };
  }
  /** The next photo, or the one before; a class, a pooling and muted channels stay, positions are of one photo alone. */
  step(ahead) {
    const place = Math.min(this.photos.length - 1, Math.max(0, this.place + ahead));
    if (place !== this.place) this.turnTo(place);
  }
  turnTo(place) {
    const change = this.state.change.split("_").filter((part) => part[0] === "k").join("_");
    return this.show(place, { ...this.state, change }).catch(fail);
  }

  // What is chosen, and the link that keeps it.

  choose(state) {
    this.state = { ...this.state, ...state };
    this.remember();
  }
  /** What a link may say wrongly is left out. */
  checked({ c, pooling, parameter, calibrated, change }) {
    const { network } = this, known = network.pooling(pooling), limits = known?.parameter;
    return {
      c: Number.isInteger(c) && c >= 0 && (network.classes || c < network.names.length) ? c : null, pooling: known ? pooling : null,
      parameter: limits && Number.isFinite(parameter) && parameter >= limits.low && parameter <= limits.high ? parameter : undefined,
      calibrated: !!calibrated, change: CHANGE.test(change ?? "") ? change : "",
    };
  }
  /** Where the link says nothing, what the page began with. */
  linkedState() {
    const link = linked(), state = { ...this.usual };
    if (link.has("class")) state.c = /^\d{1,7}$/.test(link.get("class")) ? +link.get("class") : null;
    if (link.has("pooling")) {
      const [key, parameter = ""] = link.get("pooling").split(":"), text = parameter.split("=").at(-1);
      Object.assign(state, { pooling: key, parameter: text === "" ? undefined : +text });
    }
    if (link.has("calibrated")) state.calibrated = link.get("calibrated") === "1";
    if (link.has("change")) state.change = link.get("change");
    return state;
  }
  /** As links of the app have it: "class=207&pooling=gem:p=4&calibrated=1&change=k12x0"; what is usual is left out. */
  remember() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => relink(this.written()), 200);
  }
  written() {
    const { state, usual } = this, { pooling, parameter } = state, its = this.network.pooling(pooling)?.parameter;
    const text = { c: state.c ?? "prediction", pooling: `${pooling ?? "native"}${its && parameter !== undefined ? `:${its.name}=${+parameter.toPrecision(8)}` : ""}`,
      calibrated: state.calibrated ? "1" : "0", change: state.change || "none" };
    const same = { c: state.c === usual.c, pooling: pooling === usual.pooling && parameter === usual.parameter, calibrated: state.calibrated === usual.calibrated, change: state.change === usual.change };
    const link = Object.fromEntries(Object.entries(text).map(([name, value]) => [name === "c" ? "class" : name, same[name] ? "" : value]));
    return { ...link, photo: this.place ? String(this.place + 1) : "" };
  }
  linkedPlace() {
    const place = Number(linked().get("photo") ?? 1) - 1;
    return Number.isInteger(place) && place >= 0 && place < this.photos.length ? place : 0;
  }
  follow() {
    this.present(linked().get("present") === "1");
    this.theme(linked().get("theme"));
    return this.show(this.linkedPlace(), this.linkedState()).catch(fail);
  }

  /** What is to be known of this photo: which it is, how exact its numbers are, and what repeats them. */
  describe() {
    const { data, network } = this, [width, height] = data.size;
    $("photo").textContent = this.photos[this.place].name;
    $("notice").textContent = this.missing ? `The photo was left out of this page; its maps lie on grey of its size, ${width} × ${height} px.` : "";
    $("exactness").textContent = "Every number here is computed in this browser, and nothing is sent anywhere. " + exactnessSentence(network, data.rounding);
    $("recipe").textContent = data.recipe;
    $("keep").href = `data:application/json;base64,${btoa(data.recipe)}`;
  }

  // Buttons, themes, keys and a talk.

  buildButtons() {
    const theme = button("", () => this.turnTheme()), present = button("Present", () => this.present(!this.presenting), { "aria-pressed": "false" });
    Object.assign(this, { themeButton: theme, presentButton: present });
    $("buttons").append(theme, present, button("?", () => this.help(), { "aria-label": "List of keys" }));
    const own = [...(this.photos.length > 1 ? [["↑ ↓", "the photo before, the next"]] : []), ["p", "present, and Escape back"], ["?", "this list"]];
    $("keys").append(...[...own, ...PANEL_KEYS.filter(([key]) => key !== "?")].flatMap(([key, what]) => [make("dt", {}, key), make("dd", {}, what)]));
  }
  buildStrip() {
    $("strip").hidden = this.photos.length < 2;
    $("strip").append(...this.photos.map(({ name, thumbnail }, n) => {
      const picture = thumbnail ? make("img", { src: thumbnail, alt: "" }) : make("span", { class: "blank" });
      const one = button("", () => this.turnTo(n), { title: name });
      one.append(picture, make("span", { class: "name" }, name));
      return one;
    }));
  }
  theme(which) {
    const dark = which ? which === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    this.dark = dark;
    document.documentElement.style.colorScheme = which === "dark" || which === "light" ? which : "";
    this.themeButton.textContent = dark ? "Light" : "Dark";
  }
  turnTheme() {
    const next = this.dark ? "light" : "dark";
    relink({ theme: matchMedia("(prefers-color-scheme: dark)").matches === (next === "dark") ? "" : next });
    this.theme(next);
  }
  present(on) {
    this.presenting = on;
    $("keys").hidden = true;
    document.documentElement.classList.toggle("presenting", on);
    this.presentButton.textContent = on ? "Leave" : "Present";
    this.presentButton.setAttribute("aria-pressed", String(on));
    relink({ present: on ? "1" : "" });
    window.dispatchEvent(new Event("resize"));
  }
  help() { $("keys").hidden = !$("keys").hidden; }
  press(event) {
    const typing = event.target.closest?.("input, select, textarea, [contenteditable]");
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey && event.key !== "?" || typing || event.defaultPrevented) return;
    const acts = { p: () => this.present(!this.presenting), "?": () => this.help() };
    if (!$("keys").hidden) acts.Escape = () => this.help();
    else if (this.presenting) acts.Escape = () => this.present(false);
    const ahead = this.photos.length > 1 && (this.presenting ? OF_A_TALK : ARROWS)[event.key];
    const act = ahead ? () => this.step(ahead) : acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }
}

/** The photo, or grey in its place. */
async function pictureOf(src, [width, height]) {
  const image = new Image();
  if (src) image.src = src;
  else {
    const k = Math.min(1, 400 / Math.max(width, height)), ground = Object.assign(document.createElement("canvas"), { width: Math.max(1, Math.round(k * width)), height: Math.max(1, Math.round(k * height)) });
    const context = ground.getContext("2d");
    context.fillStyle = "#b4b4b4";
    context.fillRect(0, 0, ground.width, ground.height);
    image.src = ground.toDataURL();
  }
  await image.decode();
  return image;
}
function fail(error) {
  $("notice").textContent = `This page cannot be shown in this browser; it needs one of 2024 or later (${error.name}: ${error.message}).`;
  console.error(error);
}
const handedOn = () => { page.live = new LivePage(); return page.live.show(page.live.linkedPlace(), page.live.linkedState()); };
new Promise((begin) => requestAnimationFrame(() => setTimeout(begin))).then(handedOn).catch(fail); // the frame before shows what will be there
