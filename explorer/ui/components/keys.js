// Keys for a page of steps that need not have a viewer. An element in FOCUSABLE keeps the keys for itself; in a talk only
// a list that is open and a slider or a choice that was reached by Tab do, and they leave a clicker's keys alone.
const FOCUSABLE = "input, select, textarea, [contenteditable], [role=slider], [role=radio], [role=combobox], [role=listbox], [role=option], .viewer, .wall";
const IN_A_TALK = "[role=slider], input[type=range], [role=radio], [aria-expanded=true], [role=listbox], [role=option]";

page.parts.keys = ({ data, parentElement, setTriggerValue }) => {
  const root = parentElement.firstElementChild;
  const listening = root.data !== undefined;
  Object.assign(root, { data, send: setTriggerValue });
  if (listening) return;
  // A slider that was dragged, or a list that was clicked, gives the arrows back to the talk.
  whileShown(root, window, "pointerup", () => root.data.stage && setTimeout(() => {
    if (document.activeElement?.matches("[role=slider], input[type=range], [role=radio], [role=combobox][aria-expanded=false]")) document.activeElement.blur();
  }, 50));
  whileShown(root, window, "keydown", (event) => {
    const { key, altKey, ctrlKey, metaKey, shiftKey } = event, { stage } = root.data, target = event.composedPath()[0];
    if (altKey || ctrlKey || metaKey || shiftKey) return;
    const clicker = stage && ["PageDown", "PageUp", "p", "Escape"].includes(key) && !target.matches?.("[aria-expanded=true]");
    if (!clicker && target.matches?.(stage ? IN_A_TALK : FOCUSABLE)) return;
    const ahead = { ArrowRight: 1, ArrowLeft: -1, ...(stage ? { PageDown: 1, PageUp: -1 } : {}) }[key];
    const photos = stage ? { ArrowDown: 1, ArrowUp: -1 }[key] : undefined;
    if (root.data.walk && !ahead) return; // the rest is for the viewer on the page
    if (key === "p" || (key === "Escape" && stage)) root.send("present", !stage);
    else if (ahead) root.send("walk", ahead);
    else if (photos) root.send("photos", photos);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }, true);
};
