// The panel Intervene in the app. It asks for the network where no page had it before; what a reader does is sent to Python
// with a number, and what Python says of an older number does not count.
page.networks ??= new Map();
page.maps ??= new Map();
const made = new Map(); // by both keys: what is read takes a moment, and is read once

function liveMaps(network, maps) {
  const key = `${network} ${maps}`;
  if (!made.has(key)) keep(made, key, read(page.networks.get(network), page.maps.get(maps)), 4);
  return made.get(key);
}
async function read(stored, photo) {
  // The rows of an affine head are the network's; one that is not affine has rows of its own for every photo.
  const network = photo.heads ? await LiveNetwork.read({ ...stored.content, ...photo }) : await (stored.live ??= LiveNetwork.read(stored.content));
  const maps = new LiveMaps(network, await unpackExactly(photo.maps), photo.maps.shape);
  return Object.assign(maps, { exactness: exactnessSentence(network, photo.rounding) });
}

class Intervene {
  constructor(root) {
    Object.assign(this, { root, place: make("div", { class: "live" }) });
    for (const name of ["network", "maps"]) whileShown(root, page.bus, name, () => this.begin());
  }
  receive(data, send) {
    Object.assign(this, { data, send });
    this.count ??= data.number;
    this.begin();
  }
  async begin() {
    const { network, maps } = this.data;
    if (!page.networks.has(network) && this.requested !== network) this.send("lack", this.requested = network);
    if (!page.networks.has(network) || !page.maps.has(maps)) return;
    const live = await liveMaps(network, maps);
    if (this.data.network === network && this.data.maps === maps) this.take(live);
  }
  take(maps) {
    const { state, photo, number } = this.data, text = this.text(state, maps.network), isNew = this.maps !== maps;
    if (!isNew && (number < this.count || text === this.last)) return; // the answer to an older state, or nothing new
    Object.assign(this, { maps, last: text });
    if (!this.panel) {
      this.root.replaceChildren(this.place);
      this.panel = new LivePanel(this.place, { act: (_, state) => this.report(state) });
    }
    clearTimeout(this.panel.timer); // what was done a moment ago was done to what is no longer shown
    this.panel.show({ network: maps.network, maps, photo, state, exactness: maps.exactness });
  }
  report(state) {
    const text = this.text(state, this.maps.network);
    if (text === this.last) return;
    this.last = text;
    this.send("state", { ...state, n: ++this.count });
  }
  text({ c, pooling, parameter, calibrated, change }, network) {
    const key = pooling ?? network.native.keys[0];
    return [c, key, parameter ?? network.usual(key), calibrated, change].join(" ");
  }
}

page.parts.intervene = ({ data, parentElement, setTriggerValue }) => {
  const root = parentElement.querySelector(".intervene");
  root.intervene ??= new Intervene(root);
  root.intervene.receive(data, setTriggerValue);
};
