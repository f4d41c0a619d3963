// Keys for a page that is walked through step by step and need not have a viewer.
const TAKEN = "input, select, textarea, [contenteditable], [role=slider], [role=combobox], [role=listbox], [role=option], .viewer, .wall";

page.parts.keys = ({ data, parentElement, setTriggerValue }) => {
  const root = parentElement.firstElementChild;
  Object.assign(root, { told: data, send: setTriggerValue });
  if (root.heard) return;
  root.heard = true;
  whileShown(root, document, "keydown", (event) => {
    const { key, altKey, ctrlKey, metaKey, shiftKey } = event;
    if (altKey || ctrlKey || metaKey || shiftKey || event.composedPath()[0].matches?.(TAKEN)) return;
    const stage = root.told.stage;
    const ahead = { ArrowRight: 1, ArrowLeft: -1, ...(stage ? { PageDown: 1, PageUp: -1 } : {}) }[key];
    const photos = stage ? { ArrowDown: 1, ArrowUp: -1 }[key] : undefined;
    if (key === "p" || (key === "Escape" && stage)) root.send("present", !stage);
    else if (ahead) root.send("walk", ahead);
    else if (photos) root.send("photos", photos);
    else return;
    event.preventDefault();
  });
};
