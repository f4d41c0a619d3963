// A slider that acts while it is dragged, which Streamlit's own does not: Python hears of it at most every 80 ms.
const STEPS = 200, PAUSE = 80;

function share(value, { low, high, logarithmic }) {
  return logarithmic ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
}
function valueAt(part, { low, high, logarithmic }) {
  const value = logarithmic ? low * (high / low) ** part : low + part * (high - low);
  return Math.min(high, Math.max(low, +value.toPrecision(value >= 1 ? 3 : 2)));
}

page.parts.slider = ({ data, parentElement, setTriggerValue }) => {
  const root = parentElement.querySelector("label"), [name, input, output] = root.children;
  const show = (value) => {
    output.textContent = String(value);
    input.setAttribute("aria-valuetext", `${data.name} = ${value}`);
  };
  name.textContent = `${data.name} =`;
  root.title = data.explanation;
  input.setAttribute("aria-label", data.label);
  // What the person wants counts until Python has said it; older answers come late.
  if (root.wanted === undefined || root.wanted === data.value || performance.now() - root.moved > 3000) {
    root.wanted = undefined;
    input.value = Math.round(Math.min(1, Math.max(0, share(data.value, data))) * STEPS);
    show(data.value);
  }
  const send = () => {
    root.timer = undefined;
    if (root.wanted !== undefined) root.send(root.wanted);
  };
  Object.assign(root, { data, send: (value) => setTriggerValue("value", value) });
  input.oninput = () => {
    Object.assign(root, { wanted: valueAt(input.value / STEPS, root.data), moved: performance.now() });
    show(root.wanted);
    root.timer ??= setTimeout(send, PAUSE);
  };
};
