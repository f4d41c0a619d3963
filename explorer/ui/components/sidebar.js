// What Streamlit leaves undone around its own controls: on a telephone the sidebar closes after a choice, arrows select
// among buttons of which one is chosen, and after an upload the focus stays with the uploader.
const UPLOADER = '[data-testid="stFileUploader"]';
const CLOSE = '[data-testid="stSidebarCollapseButton"] button[aria-expanded="true"]';

page.parts.sidebar = ({ data: { chosen } }) => {
  const changed = page.chosen !== undefined && page.chosen !== chosen;
  page.chosen = chosen;
  if (changed) page.closeSidebar();
};
page.closeSidebar = () => {
  if (matchMedia("(max-width: 768px)").matches) document.querySelector(CLOSE)?.click();
};

function select({ key, target }) {
  if (key.startsWith("Arrow") && target.matches?.('[role="radio"][aria-checked="false"]')) target.click();
}

/** The button that opened the file dialog goes with the file's arrival: its successor gets the focus. */
function keepFocus({ target }) {
  const uploader = target.closest?.(UPLOADER);
  if (!uploader) return;
  const watch = new MutationObserver(() => {
    if (document.activeElement === document.body)
      (uploader.isConnected ? uploader : document.querySelector(UPLOADER))
        ?.querySelector('button:not([data-testid$="minimal"])')?.focus({ preventScroll: true });
  });
  watch.observe(document.body, { childList: true, subtree: true });
  for (const used of ["pointerdown", "keydown"]) document.addEventListener(used, () => watch.disconnect(), { once: true });
}

if (!page.listening) {
  page.listening = true;
  document.addEventListener("keyup", select);
  document.addEventListener("change", keepFocus, true);
  keepFocusOfControls();
}
