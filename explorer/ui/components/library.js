// The end of the library: from here on the page's elements, each a few lines of script, find what draws them.
const sheets = {};

export default function ({ data: [styles] }) {
  for (const [name, text] of Object.entries(styles)) {
    sheets[name] = new CSSStyleSheet();
    sheets[name].replaceSync(text);
  }
  page.draw = (name, element) => {
    const root = element.parentElement.getRootNode();
    if (sheets[name] && !root.adoptedStyleSheets.includes(sheets[name])) root.adoptedStyleSheets.push(sheets[name]);
    const { data } = element;
    page.parts[name]({ ...element, data: Array.isArray(data) ? data[0] : JSON.parse(new TextDecoder().decode(data)) });
  };
  window.dispatchEvent(new Event("poolscope"));
}
