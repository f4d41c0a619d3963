// A slider that acts while it is dragged, which Streamlit's own does not: it sends Python a value every 80 ms at most.
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
  // The value under the hand counts until Python sends it back: answers to earlier values come late.
  if (root.pending === undefined || root.pending === data.value || performance.now() - root.moved > 3000) {
    root.pending = undefined;
    input.value = stepOf(data.value, data);
    show(data.value);
  }
  const send = () => {
    root.timer = undefined;
    if (root.pending !== undefined) root.send(root.pending);
  };
  Object.assign(root, { data, send: (value) => setTriggerValue("value", value) });
  input.oninput = () => {
    Object.assign(root, { pending: valueAt(+input.value, root.data), moved: performance.now() });
    show(root.pending);
    root.timer ??= setTimeout(send, PAUSE);
  };
};
