// How far something is muted: a slider, a row of numbers for each group of photos, and a line over all strengths.
const SVG = "http://www.w3.org/2000/svg", WIDE = 420, HIGH = 92, EDGE = 6;

function drawn(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
const shown = (value, photos) => (value === null ? "none" : photos ? value.toLocaleString("en") : `${(value * 100).toFixed(1)}%`);
function change(now, before, photos) {
  if (now === null) return "";
  const by = photos ? now - before : (now - before) * 100, text = photos ? String(by) : by.toFixed(1);
  return (by > 0 ? "+" : "") + minus(text);
}

page.parts.muting = ({ data, parentElement, setTriggerValue }) => {
  const root = parentElement.querySelector(".muting"), described = JSON.stringify(data);
  if (root.described === described) return;
  root.described = described;
  const { strengths, groups, suggested } = data, focused = root.getRootNode().activeElement?.matches("input");
  const input = make("input", { type: "range", min: "0", max: String(strengths.length - 1), step: "1", "aria-label": "Muted by" });
  const output = make("output", {});
  const rows = groups.map(({ words }) => make("tr", {}, make("th", { scope: "row" }, words), ...["number", "number", "number"].map((name) => make("td", { class: name }))));
  const heads = ["", "before", "muted", "change"].map((word, n) => make("th", { scope: "col", class: n ? "number" : "" }, word));
  const curve = drawn("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", preserveAspectRatio: "none" });
  const all = groups[0].values.map((value) => value ?? 0), low = Math.min(...all), high = Math.max(...all);
  const x = (n) => EDGE + (n / (strengths.length - 1)) * (WIDE - 2 * EDGE);
  const y = (value) => HIGH - EDGE - ((value - low) / (high - low || 1)) * (HIGH - 2 * EDGE);
  const at = drawn("line", { class: "at", y1: "0", y2: String(HIGH) });
  curve.setAttribute("aria-label", `${groups[0].words}: from ${shown(low, false)} to ${shown(high, false)} over the strengths`);
  curve.append(
    drawn("line", { class: "suggested", x1: x(suggested), x2: x(suggested), y1: "0", y2: String(HIGH) }),
    drawn("polyline", { points: all.map((value, n) => `${x(n)},${y(value)}`).join(" ") }), at,
  );
  const show = (n) => {
    output.textContent = `${strengths[n]}%`;
    input.setAttribute("aria-valuetext", output.textContent);
    at.setAttribute("x1", x(n));
    at.setAttribute("x2", x(n));
    rows.forEach((row, r) => {
      const { values, photos } = groups[r], [now, muted, by] = row.querySelectorAll("td");
      now.textContent = shown(values[0], photos);
      muted.textContent = shown(values[n], photos);
      by.textContent = change(values[n], values[0], photos);
    });
  };
  root.replaceChildren(
    make("label", {}, make("span", {}, "Muted by"), input, output),
    make("div", { class: "both" },
      make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows)),
      make("div", {}, curve, make("p", { class: "caption" }, `${groups[0].words}, ${shown(low, false)} to ${shown(high, false)}; dotted: as suggested`))),
  );
  input.value = String(data.place);
  show(data.place);
  input.oninput = () => show(+input.value);
  input.onchange = () => setTriggerValue("strength", strengths[+input.value]);
  if (focused) input.focus({ preventScroll: true });
};
