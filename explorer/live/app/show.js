// The photo that was run here, in the panel: any class, pooling and change, as on every other page of PoolScope.
// The panel's own scripts (panel-scripts.js) come before this module.
let panel = null, live = null, count = 0;

/** Show what `look` of app.js gave; class and changes are of one photo, pooling and calibration stay. */
async function open({ photo, name, maps, shape, framing }, data) {
  const network = await (live ??= LiveNetwork.read(data)), key = `photo ${(count += 1)}`;
  keep(page.photos, key, pictureOf(photo));
  panel ??= new LivePanel(document.getElementById("panel"));
  const { pooling = null, parameter, calibrated = true } = panel.state ?? {};
  panel.show({
    network, maps: new LiveMaps(network, maps, shape), state: { c: null, pooling, parameter, calibrated, change: "" },
    photo: { key, name, size: framing.photo_size, seen: framing.seen },
  });
  return panel;
}

/** A canvas that the viewer takes for an image: at most 1,600 px, because a phone has little memory. */
function pictureOf(photo) {
  const k = Math.min(1, 1600 / Math.max(photo.width, photo.height));
  const canvas = Object.assign(document.createElement("canvas"), { width: Math.max(1, Math.round(k * photo.width)), height: Math.max(1, Math.round(k * photo.height)) });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(photo, 0, 0, canvas.width, canvas.height);
  canvas.naturalWidth = canvas.width;
  return canvas;
}

window.poolscopeLive = { open };
