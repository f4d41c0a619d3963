// Where the keyboard's focus goes when what had it is drawn anew: to the control that takes its place. After a change of
// page, and out of a talk where that control is gone, to the page's heading.
const CONTROL = '[data-testid="stElementContainer"]', SHUT = '[data-testid="stSidebar"][aria-expanded="false"]';
const REACHED = "a[href], button, input, select, textarea, [tabindex]";
const nameOf = (control) => (control.querySelector('[data-testid="stWidgetLabel"]') ?? control).textContent;
const MOST = 300; // tenths of a second to wait for a heading
const inTalk = () => !document.querySelector('[data-testid="stSidebar"] [data-testid="stPageLink"]');
let last = null; // what had the focus, and where

function remember(event) {
  const element = event.composedPath()[0], control = element.closest(CONTROL);
  const place = control && { name: nameOf(control), at: [...control.querySelectorAll(REACHED)].indexOf(element) };
  last = element.closest(UPLOADER) ? null : { element, place, path: location.pathname, talk: inTalk(), heading: element.matches("h1") };
}

/** Who leaves a control that stays wants no focus; one that was taken away is still waited for. */
function forget(event) {
  const element = event.composedPath()[0];
  setTimeout(() => { if (element.isConnected && document.activeElement === document.body) last = null; });
}

function restore() {
  const focused = document.activeElement, shut = focused.closest(SHUT) && last?.path !== location.pathname;
  if (!last || (!shut && (last.element.isConnected || focused !== document.body))) return;
  const moved = last.path !== location.pathname, there = !moved && successor(last.place);
  if (there) return there.focus({ preventScroll: true });
  if (inTalk() || !(moved || last.heading || last.talk)) return;
  const isDone = document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState === "notRunning", title = isDone && heading();
  if (!title) return again(); // what boards draw themselves the observer does not see
  title.tabIndex = -1;
  title.focus({ preventScroll: true });
}

function again() {
  if (last.waiting || (last.tries = (last.tries ?? 0) + 1) > MOST) return;
  last.waiting = setTimeout((lost) => { lost.waiting = null; restore(); }, 100, last);
}

function successor(place) {
  const controls = place ? [...document.querySelectorAll(CONTROL)] : [];
  const control = controls.find((one) => !one.closest(SHUT) && nameOf(one) === place.name && one.querySelectorAll(REACHED)[place.at]);
  return control?.querySelectorAll(REACHED)[place.at];
}

function heading() {
  const roots = [...document.querySelectorAll('[data-testid="stMain"] *')].map((host) => host.shadowRoot).filter(Boolean);
  return roots.map((root) => root.querySelector("h1")).find(Boolean);
}

function keepFocusOfControls() {
  document.addEventListener("focusin", remember);
  document.addEventListener("focusout", forget);
  document.addEventListener("pointerdown", () => { if (!last?.element.isConnected) last = null; }, true);
  new MutationObserver(restore).observe(document.body, { childList: true, subtree: true, attributeFilter: ["data-test-script-state", "aria-expanded"] });
}
