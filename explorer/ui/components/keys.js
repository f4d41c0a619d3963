// Keys for a page of steps that need not have a viewer. An element in FOCUSABLE keeps the keys for itself.
const FOCUSABLE = "input, select, textarea, [contenteditable], [role=slider], [role=radio], [role=combobox], [role=listbox], [role=option], .viewer, .wall";

page.parts.keys = ({ data, parentElement, setTriggerValue }) => {
  const root = parentElement.firstElementChild;
  const listening = root.data !== undefined;
  Object.assign(root, { data, send: setTriggerValue });
  if (listening) return;
  whileShown(root, document, "keydown", (event) => {
    const { key, altKey, ctrlKey, metaKey, shiftKey } = event;
    if (altKey || ctrlKey || metaKey || shiftKey || event.composedPath()[0].matches?.(FOCUSABLE)) return;
    const { stage } = root.data;
    const ahead = { ArrowRight: 1, ArrowLeft: -1, ...(stage ? { PageDown: 1, PageUp: -1 } : {}) }[key];
    const photos = stage ? { ArrowDown: 1, ArrowUp: -1 }[key] : undefined;
    if (key === "p" || (key === "Escape" && stage)) root.send("present", !stage);
    else if (ahead) root.send("walk", ahead);
    else if (photos) root.send("photos", photos);
    else return;
    event.preventDefault();
  });
};
