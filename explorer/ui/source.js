// Puts the photo, or a stack of maps, into the page's store, where viewers and walls find it: once, and not with
// every change of what is shown.
export default function ({ data }) {
  if (data.photo && !page.photos.has(data.photo.key)) {
    const image = new Image();
    image.onload = () => { keep(page.photos, data.photo.key, image); say("photo", data.photo.key); };
    image.src = data.photo.src;
  }
  if (data.pack && !page.packs.has(data.pack.key))
    unpack(data.pack).then((pack) => { keep(page.packs, data.pack.key, pack); say("pack", data.pack.key); });
}
