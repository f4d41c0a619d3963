// The scales of maps in a viewer: which share one, how far it goes, and in which unit.

/** Those of the maps that share a scale with one. */
const alike = (map, maps) => maps.filter((other) => other.scale === map.scale && other.kind === map.kind && other.unit === map.unit);

/** Whether a map shares its scale with some whose logits mean something else. */
const comparesPoolings = (map, maps) =>
  !page.view.u && !map.limit && new Set(alike(map, maps).map((other) => other.factor ?? 1)).size > 1;

/** Whether its scale is in calibrated logits. */
const isCalibrated = (map, maps) => !page.view.r && comparesPoolings(map, maps);

/** What a map's logits are multiplied by to be compared with those under another pooling. */
const factorOf = (map, maps) => (isCalibrated(map, maps) ? map.factor ?? 1 : 1);

/** The number at the end of a map's scale, in the map's own numbers. */
function limitOf(map, maps) {
  if (page.view.u) return largest(map.values, map.kind);
  if (map.limit) return map.limit;
  const calibrated = isCalibrated(map, maps), factor = (one) => (calibrated ? one.factor ?? 1 : 1);
  return Math.max(...alike(map, maps).map((other) => (other.most ??= largest(other.values, other.kind)) * factor(other))) / factor(map);
}

/** The scale's unit, which says raw or calibrated where that differs from map to map. */
const unitOf = (map, maps) => `${comparesPoolings(map, maps) ? (page.view.r ? "raw " : "calibrated ") : ""}${map.unitName}`;

/** Where a viewer's scale ended before other maps of the same network and photo changed it; 0 where nothing but the reader did. */
function endBefore(viewer, map, drawn) {
  const known = (viewer.ends ??= new Map()), { photo, network, stack } = viewer.data, unit = unitOf(map, viewer.maps);
  const key = [photo, network, map.kind, unit].join(), what = [stack, ...drawn.map(({ id }) => id)].join();
  const end = limitOf(map, viewer.maps) * factorOf(map, viewer.maps), before = known.get(key) ?? { what, end, was: 0 };
  const was = before.what !== what ? (Math.abs(end - before.end) > 0.02 * end ? before.end : 0) : before.end === end ? before.was : 0;
  known.set(key, { what, end, was });
  return page.view.u ? 0 : was;
}
