// Sentences made from numbers, as explorer/wording.py and explorer/sections/answers.py make them.
const WORDS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
const numberWord = (number) => WORDS[number] ?? String(number);
const shortened = (name, most = 80) => (name.length <= most ? name : `${name.slice(0, most - 1).trimEnd()}…`);
const general = (value) => String(+value.toPrecision(6)); // as Python's %g

/** A probability in percent, or a value as it is. */
const share = (network, probability) => (network.activation === "none" ? plain(probability) : percent(probability));

/** "GeM, p = 3" */
function poolingName({ name, parameter }, value = parameter?.default) {
  return parameter ? `${name}, ${parameter.name} = ${general(value)}` : name;
}

/** "Prediction: cat, 93%." or "Above 50%: cat (93%) and dog (60%)." */
function answerSentence(outcome, calibrated = false) {
  const { network } = outcome, [first, ...others] = outcome.top(5, calibrated), name = shortened(first.name);
  if (network.activation !== "sigmoid") return `Prediction: ${name}, ${share(network, first.probability)}.`;
  const above = outcome.probabilities(calibrated).reduce((count, one) => count + (one > 0.5), 0);
  if (network.names.length === 1) return above ? `Prediction: ${name}, ${percent(first.probability)}.` : `Prediction: not ${name}, which has ${percent(first.probability)}.`;
  if (!above) return `None of ${network.names.length.toLocaleString("en")} classes is above 50%; the closest is ${name}, ${percent(first.probability)}.`;
  const named = [first, ...others].slice(0, Math.min(above, 4)).map((one) => `${shortened(one.name)} (${percent(one.probability)})`);
  if (above > named.length) return `Above 50%: ${named.join(", ")} and ${above - named.length} more.`;
  return `Above 50%: ${[named.slice(0, -1).join(", "), named.at(-1)].filter(Boolean).join(" and ")}.`;
}

/** "Six of 49 positions, at the lower right, hold 53% of the positive evidence." */
function evidenceSentence(cells, rows, columns, of = "") {
  const evidence = of ? `evidence for ${of}` : "evidence", order = [...cells.keys()].filter((at) => cells[at] > 0).sort((a, b) => cells[b] - cells[a] || a - b);
  const total = order.reduce((sum, at) => sum + cells[at], 0);
  if (!order.length) return `There is no positive ${evidence}: all of it is negative or zero.`;
  if (cells.length === 1) return `There is only one position, and it holds all of the positive ${evidence}.`;
  let count = 0, held = 0;
  while (held / total < 0.5 - 1e-9) held += cells[order[count++]];
  const place = placeOf(cells, order.slice(0, count), rows, columns), word = numberWord(count);
  return `${word[0].toUpperCase()}${word.slice(1)} of ${cells.length} positions, ${count === 1 && place === "spread over the photo" ? "in the middle" : place}, ${count === 1 ? "holds" : "hold"} ${percent(held / total)} of the positive ${evidence}.`;
}

/** Where on the map the chosen positions lie, by thirds. */
function placeOf(cells, chosen, rows, columns) {
  const total = chosen.reduce((sum, at) => sum + cells[at], 0);
  const mean = (of) => chosen.reduce((sum, at) => sum + (cells[at] / total) * of(at), 0);
  const y = (at) => (Math.floor(at / columns) + 0.5) / rows, x = (at) => ((at % columns) + 0.5) / columns, my = mean(y), mx = mean(x);
  if (Math.sqrt(mean((at) => (y(at) - my) ** 2 + (x(at) - mx) ** 2)) > 0.34) return "spread over the photo";
  const vertical = ["upper", "", "lower"][Math.min(2, Math.floor(my * 3))], horizontal = ["left", "", "right"][Math.min(2, Math.floor(mx * 3))];
  if (!vertical && !horizontal) return "in the middle";
  if (vertical && horizontal) return `at the ${vertical} ${horizontal}`;
  return vertical ? `at the ${vertical === "upper" ? "top" : "bottom"}` : `on the ${horizontal}`;
}

/** "logit 4.04 = baseline 0.01 + evidence 4.03" */
function sumSentence({ logit, baseline, cells }, what = "logit") {
  const total = cells.reduce((a, b) => a + b, 0), round = (value) => Math.round(value * 100) / 100, left = round(logit) - round(baseline);
  const evidence = Math.abs(left - total) < 0.0151 ? left : total;
  return `${what} ${plain(logit)} = baseline ${plain(baseline)} ${evidence < 0 ? "−" : "+"} evidence ${plain(Math.abs(evidence))}`;
}

/** How far the browser's numbers are from Python's: `rounding` is the largest difference of a logit, in data.py. */
function exactnessSentence(network, rounding) {
  if (network.estimated) return `The head is not affine: ${numberWord(network.classes.length)} classes are at hand, and after a change their logits are estimated with the slopes of this photo.`;
  return `Feature maps are exact, weights of the head have 16 bits: under the native pooling no logit of this photo is further off than ${general(roundedUp(rounding))}.`;
}
/** To one digit. */
function roundedUp(value) {
  const unit = 10 ** Math.floor(Math.log10(value || 1));
  return Math.ceil(value / unit) * unit;
}
