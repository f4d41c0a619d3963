// What the browser keeps for a reload: a cookie that says whose session it was, and for a day the last photos, which it
// hands in again when the server has lost them.
const MOST = 4, DAY = 86_400_000;
let dropped, handedIn;
for (const name of ["change", "drop"])
  document.addEventListener(name, (event) => { dropped = (event.dataTransfer ?? event.target).files?.[0] ?? dropped; }, true);

const photos = (mode, act) => new Promise((resolve, reject) => {
  const opening = indexedDB.open("poolscope", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("photos", { keyPath: "name" });
  opening.onerror = () => reject(opening.error);
  opening.onsuccess = () => {
    const transaction = opening.result.transaction("photos", mode), request = act(transaction.objectStore("photos"));
    transaction.oncomplete = () => { opening.result.close(); resolve(request.result); };
    transaction.onerror = () => reject(transaction.error);
  };
});

async function keepPhoto(name, file) {
  await photos("readwrite", (store) => store.put({ name, file, title: file.name, since: Date.now() }));
  const kept = (await photos("readonly", (store) => store.getAll())).sort((one, other) => other.since - one.since);
  for (const { name } of kept.filter(({ since }, place) => place >= MOST || Date.now() - since > DAY))
    await photos("readwrite", (store) => store.delete(name));
}

async function handIn(name, send) {
  const kept = await photos("readonly", (store) => store.get(name));
  if (!kept) return;
  const reader = new FileReader();
  reader.onload = () => send("photo", { title: kept.title, data: reader.result.slice(reader.result.indexOf(",") + 1) });
  reader.readAsDataURL(kept.file);
}

page.parts.memory = ({ data: { cookie, photo, title, awaited }, setTriggerValue }) => {
  document.cookie = `poolscope=${cookie}; path=/; SameSite=Strict`;
  const quietly = (promise) => promise.catch((error) => console.info("PoolScope keeps no photos here:", error));
  if (photo && dropped?.name === title) { quietly(keepPhoto(photo, dropped)); dropped = undefined; }
  if (awaited && handedIn !== awaited) { handedIn = awaited; quietly(handIn(awaited, setTriggerValue)); }
};
