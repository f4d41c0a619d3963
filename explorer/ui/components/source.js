// Puts a photo, a stack of maps, a pack of channels, what the panel Intervene needs or what a search over classes needs into
// the page's store, where those who show it look: once, and not with every change of what is shown.
page.parts.source = ({ data: { photo, stack, pack, network, maps, names, answers, shown } }) => {
  const put = (store, name, key, value, most) => { keep(store, key, value, most); emit(name, key); };
  if (photo && !page.photos.has(photo.key)) {
    const image = new Image();
    image.onload = () => put(page.photos, "photo", photo.key, image);
    image.src = photo.src;
  }
  if (stack && !page.stacks.has(stack.key))
    unpack(stack.pack).then(({ at, rows, columns }) => put(page.stacks, "stack", stack.key,
      stack.maps.map((map, i) => ({ ...map, values: map.kind === "labels" ? at(i).map(Math.round) : at(i), rows, columns })), 20));
  if (network && !page.networks.has(network.key)) put(page.networks, "network", network.key, network, 3);
  if (maps && !page.maps.has(maps.key)) put(page.maps, "maps", maps.key, maps.content, 4);
  if (names && !page.names.has(names.key)) put(page.names, "names", names.key, names.names, 4);
  if (answers && !page.answers.has(answers.key))
    unpackExactly(answers.logits).then((logits) => put(page.answers, "answers", answers.key, { ...answers, logits }));
  if (shown) { page.shown = shown; emit("shown"); }
  if (pack && !page.packs.has(pack.key)) unpack(pack).then((channels) => put(page.packs, "pack", pack.key, channels));
};
