// Draws a tree of nodes that Python describes. Text is always a text node and tags and attributes come from the two
// lists below, so that no file name or class name can ever become markup.
const TAGS = new Set(["div", "span", "p", "h1", "h2", "h3", "h4", "button", "img", "ul", "ol", "li", "strong", "dl", "dt", "dd",
  "table", "caption", "thead", "tbody", "tr", "th", "td"]);
const ATTRIBUTES = new Set(["alt", "title", "role", "type", "width", "height", "data-key", "disabled", "scope", "colspan", "tabindex"]);

function draw(node, pick) {
  if (typeof node === "string") return document.createTextNode(node);
  if (!TAGS.has(node.tag)) throw new Error(`board: tag ${node.tag} is not allowed`);
  const element = document.createElement(node.tag);
  if (node.class) element.className = node.class;
  const level = { h3: 2, h4: 3 }[node.tag]; // a page's panels stand right under its h1, a report's in sections
  if (level) element.setAttribute("aria-level", level);
  for (const [name, value] of Object.entries(node.attributes ?? {})) {
    if (ATTRIBUTES.has(name) || name.startsWith("aria-")) element.setAttribute(name, value);
    else if (name === "src" && value.startsWith("data:image/")) element.src = value;
    else throw new Error(`board: attribute ${name} is not allowed`);
  }
  for (const [name, value] of Object.entries(node.style ?? {})) element.style.setProperty(name, value);
  if (node.pick !== undefined) element.addEventListener("click", () => pick(node.pick));
  element.append(...(node.children ?? []).map((child) => draw(child, pick)));
  return element;
}

page.parts.board = ({ data, parentElement, setTriggerValue }) => {
  const root = parentElement.querySelector(".board");
  const described = JSON.stringify(data.tree);
  if (root.dataset.drawn === described) return;
  const scope = root.getRootNode();
  const focused = root.contains(scope.activeElement) ? scope.activeElement : null, key = focused?.dataset.key;
  root.replaceChildren(draw(data.tree, (value) => setTriggerValue("pick", value)));
  root.dataset.drawn = described;
  const successor = key ? root.querySelector(`[data-key="${CSS.escape(key)}"]`) : focused?.matches("h1") ? root.querySelector("h1") : null;
  if (successor?.matches("h1")) successor.tabIndex = -1; // a heading has the focus after a change of page, see focus.js
  successor?.focus({ preventScroll: true });
};
