// The end of the library: from here on the page's elements, each a few lines of script, find what draws them.
const sheets = {};

export default function ({ data }) {
  for (const [name, text] of Object.entries(data.styles)) {
    sheets[name] = new CSSStyleSheet();
    sheets[name].replaceSync(text);
  }
  page.draw = (name, element) => {
    const root = element.parentElement.getRootNode();
    if (sheets[name] && !root.adoptedStyleSheets.includes(sheets[name])) root.adoptedStyleSheets.push(sheets[name]);
    page.parts[name](element);
  };
  window.dispatchEvent(new Event("poolscope"));
}
