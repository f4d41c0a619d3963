// A slider that acts while it is dragged, which Streamlit's own does not: Python hears of it at most every 80 ms.
const STEPS = 200, PAUSE = 80;

function share(value, { low, high, logarithmic }) {
  return logarithmic ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
}
function stepOf(value, scale) {
  return Math.round(Math.min(1, Math.max(0, share(value, scale))) * STEPS);
}
function valueAt(step, scale) {
  const { usual, low, high, logarithmic } = scale, part = step / STEPS;
  // A network may have learned the usual one to its last digit.
  if (low <= usual && usual <= high && step === stepOf(usual, scale)) return usual;
  const value = logarithmic ? low * (high / low) ** part : low + part * (high - low);
  return Math.min(high, Math.max(low, +value.toPrecision(value >= 1 ? 3 : 2)));
}

page.parts.slider = ({ data, parentElement, setTriggerValue }) => {
  const root = parentElement.querySelector("label"), [name, input, output] = root.children;
  const show = (value) => {
    output.textContent = String(+value.toPrecision(6));
    input.setAttribute("aria-valuetext", `${data.name} = ${output.textContent}`);
  };
  name.textContent = `${data.name} =`;
  root.title = data.explanation;
  input.setAttribute("aria-label", data.label);
  // What the person wants counts until Python has said it; older answers come late.
  if (root.wanted === undefined || root.wanted === data.value || performance.now() - root.moved > 3000) {
    root.wanted = undefined;
    input.value = stepOf(data.value, data);
    show(data.value);
  }
  const send = () => {
    root.timer = undefined;
    if (root.wanted !== undefined) root.send(root.wanted);
  };
  Object.assign(root, { data, send: (value) => setTriggerValue("value", value) });
  input.oninput = () => {
    Object.assign(root, { wanted: valueAt(+input.value, root.data), moved: performance.now() });
    show(root.wanted);
    root.timer ??= setTimeout(send, PAUSE);
  };
};
