// Pictures for the viewer: the photo as the network saw it, and maps of one pixel a position.

/** The part of the photo in sight, at the canvas's size, as the ground of a map: in greys or in its own colours, paled
 * and hatched where the network saw nothing. */
function drawPhoto(image, { width, height }, inSight, size, seen, inColour) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height }), context = canvas.getContext("2d");
  const k = image.naturalWidth / size[0], everything = new Path2D(), unseen = new Path2D();
  context.imageSmoothingQuality = "high";
  context.drawImage(image, inSight.x * k, inSight.y * k, inSight.w * k, inSight.h * k, 0, 0, width, height);
  everything.rect(0, 0, width, height);
  unseen.rect(0, 0, width, height);
  unseen.rect(...seen);
  const fill = (path, style) => { context.fillStyle = style; context.fill(path, "evenodd"); };
  context.globalCompositeOperation = "saturation";
  fill(inColour ? unseen : everything, "#808080");
  context.globalCompositeOperation = "source-over";
  fill(unseen, "rgb(176 176 176 / 62%)");
  fill(unseen, hatch(context, Math.max(6, Math.round(Math.max(size[0] / inSight.w * width, size[1] / inSight.h * height) / 60))));
  return canvas;
}

/** Diagonal lines, `step` px apart. */
function hatch(context, step) {
  const tile = Object.assign(document.createElement("canvas"), { width: step, height: step }), lines = tile.getContext("2d");
  lines.fillStyle = "rgb(246 246 246 / 40%)";
  for (let y = 0; y < step; y++) for (let n = 0; n < Math.max(1, Math.floor(step / 4)); n++) lines.fillRect((n - y + step) % step, y, 1, 1);
  return context.createPattern(tile, "repeat");
}

/** A map as a picture; its opacity grows with the value: where that is near 0 the photo stays visible. */
function drawMap(map, { limit, stops, smooth, threshold, positive }) {
  const fine = smooth ? Math.max(1, Math.min(16, Math.floor(512 / Math.max(map.rows, map.columns)))) : 1;
  const [width, height] = [map.columns * fine, map.rows * fine], picture = new ImageData(width, height);
  const colours = table(stops), least = threshold * largest(map.values, map.kind), bothWays = map.kind === "signed" && !positive;
  for (let y = 0, k = 0; y < height; y++) for (let x = 0; x < width; x++, k += 4) {
    const value = fine > 1 ? between(map, (x + 0.5) / fine - 0.5, (y + 0.5) / fine - 0.5) : map.values[y * width + x];
    const part = Number.isFinite(value) ? Math.max(bothWays ? -1 : 0, Math.min(1, value / limit)) : 0;
    const at = Math.round((bothWays ? (part + 1) / 2 : part) * 256) * 3;
    for (let n = 0; n < 3; n++) picture.data[k + n] = colours[at + n];
    picture.data[k + 3] = Math.abs(value) < least ? 0 : Math.round(255 * Math.abs(part) ** 0.7);
  }
  return asCanvas(picture);
}

/** A map of labels as a picture: a colour a label, with the photo shining through. */
function drawLabels({ values, rows, columns }, colourOf) {
  const picture = new ImageData(columns, rows);
  values.forEach((label, k) => {
    const colour = colourOf(label);
    picture.data.set([0, 2, 4].map((n) => parseInt(colour.slice(n, n + 2), 16)), 4 * k);
    picture.data[4 * k + 3] = 190;
  });
  return asCanvas(picture);
}
function asCanvas(picture) {
  const canvas = Object.assign(document.createElement("canvas"), { width: picture.width, height: picture.height });
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

/** Bilinear between the middles of positions, and the outer ones' own values beyond them. */
function between({ values, rows, columns }, x, y) {
  const [x0, y0] = [Math.max(0, Math.floor(x)), Math.max(0, Math.floor(y))], [x1, y1] = [Math.min(columns - 1, x0 + 1), Math.min(rows - 1, y0 + 1)];
  const [fx, fy] = [Math.max(0, x) - x0, Math.max(0, y) - y0], at = (i, j) => values[i * columns + j] || 0;
  return (at(y0, x0) * (1 - fx) + at(y0, x1) * fx) * (1 - fy) + (at(y1, x0) * (1 - fx) + at(y1, x1) * fx) * fy;
}

const CONTOURS = [{ share: 0.25, width: 3 }, { share: 0.5, width: 2 }, { share: 0.75, width: 1 }];

/** Edges [row, column, down, right] around the strongest positions that hold each share of all that is positive. */
function contoursOf({ values, rows, columns }) {
  const order = [...values.keys()].filter((k) => values[k] > 0 && Number.isFinite(values[k])).sort((a, b) => values[b] - values[a]);
  const total = order.reduce((sum, k) => sum + values[k], 0);
  return CONTOURS.map(({ share, width }) => {
    const inside = new Set();
    for (let k = 0, sum = 0; sum < share * total - 1e-9 * total; k++) { sum += values[order[k]]; inside.add(order[k]); }
    const has = (i, j) => i >= 0 && j >= 0 && i < rows && j < columns && inside.has(i * columns + j), edges = [];
    for (let i = 0; i <= rows; i++) for (let j = 0; j <= columns; j++) {
      if (has(i, j) !== has(i - 1, j)) edges.push([i, j, 0, 1]);
      if (has(i, j) !== has(i, j - 1)) edges.push([i, j, 1, 0]);
    }
    return { width, edges };
  });
}

/** Contours in black with a white rim, the thinnest first; `at` gives the canvas's place of a corner of a position. */
function drawContours(context, map, line, at) {
  Object.assign(context, { lineCap: "square" });
  for (const { width, edges } of (map.contours ??= contoursOf(map)).toReversed()) {
    const path = new Path2D();
    for (const [i, j, down, right] of edges) { path.moveTo(...at(i, j)); path.lineTo(...at(i + down, j + right)); }
    for (const [style, wide] of [["#ffffff", width + 2], ["#141414", width]]) {
      Object.assign(context, { strokeStyle: style, lineWidth: wide * line });
      context.stroke(path);
    }
  }
}

/** The edge of a box, inside it. */
function drawFrame(context, [x, y, w, h], colour, width, dash = []) {
  context.setLineDash(dash);
  Object.assign(context, { strokeStyle: colour, lineWidth: width });
  context.strokeRect(x + width / 2, y + width / 2, Math.max(1, w - width), Math.max(1, h - width));
}

/** A position that does not count: veiled, and crossed out in black with a white rim. */
function drawCross(context, [x, y, w, h], line) {
  context.fillStyle = "rgb(128 128 128 / 55%)";
  context.fillRect(x, y, w, h);
  const inset = Math.min(w, h) / 4;
  for (const [style, width] of [["#ffffff", 3 * line], ["#141414", line]]) {
    Object.assign(context, { strokeStyle: style, lineWidth: width });
    context.beginPath();
    context.moveTo(x + inset, y + inset); context.lineTo(x + w - inset, y + h - inset);
    context.moveTo(x + w - inset, y + inset); context.lineTo(x + inset, y + h - inset);
    context.stroke();
  }
}

/** Width and height in CSS px at which a viewer draws its photo: as large as its place on the page or the stage allows. */
function photoSize(viewer) {
  const { data: { size: [width, height], stage, tallest }, root, panes, parts } = viewer;
  const screen = window.innerHeight, across = stage && root.classList.contains("landscape") && window.innerWidth > screen; // the line above, the photo below
  if (viewer.measured !== panes) Object.assign(viewer, { measured: panes, room: panes[0].box.clientWidth }); // kept: to measure is to lay out
  const room = across ? 0.75 * root.clientWidth : viewer.room;
  const limit = stage ? 0.92 * screen - (across ? parts.says.offsetHeight + 16 : 0) : document.fullscreenElement ? screen - 190
    : Math.min(tallest, Math.max(180, screen - 200)); // enlarged, it stands beside its controls
  const wide = Math.max(1, Math.min(room, (limit * width) / height));
  return [wide, Math.max(1, (wide * height) / width)];
}
