// Searches over all classes: a page gives names and logits once, and every class's probability and rank is at hand.
page.names ??= new Map();
page.answers ??= new Map();

/** What a page answers, as ClassSearch reads a network: names, probabilities and ranks. */
class Answers {
  constructor({ activation, logits, factor, under }) {
    Object.assign(this, { activation, under, logits });
    this.probabilities = new LiveNetwork({ activation }).probabilities(Float64Array.from(logits, (logit) => logit * factor));
  }
  answer(c) {
    return { logit: this.logits[c], probability: this.probabilities[c], rank: 1 + this.logits.reduce((above, logit) => above + (logit > this.logits[c]), 0) };
  }
}
function answersNow(key) {
  const answers = page.answers.get(page.shown?.answers), names = page.names.get(key);
  if (answers?.logits.length !== names?.length) return null; // of another network, or not here yet
  return answers && (answers.read ??= new Answers(answers));
}

class SearchOfPage {
  constructor(root, { label, empty }) {
    this.search = new ClassSearch((c) => this.pick(c), () => this.answers, label, empty);
    root.replaceChildren(this.search.root);
    for (const name of ["names", "answers", "shown"]) whileShown(root, page.bus, name, () => this.show());
  }
  receive(data, send) {
    Object.assign(this, { data, send });
    this.show();
  }
  show() {
    const { network, follows, without, clearable } = this.data, names = page.names.get(network), { search } = this;
    this.answers = answersNow(network);
    search.input.disabled = !this.answers;
    Object.assign(search, { without, clearable, under: this.answers?.under });
    if (names) search.show({ names, activation: this.answers?.activation }, (follows ? page.shown?.class : this.data.class) ?? null);
  }
  pick(c) {
    this.send("pick", c ?? -1);
    page.closeSidebar();
  }
}

page.parts.class_search = ({ data, parentElement, setTriggerValue }) => {
  const root = parentElement.querySelector(".class_search");
  root.search ??= new SearchOfPage(root, data);
  root.search.receive(data, setTriggerValue);
};
