// A service worker: after a first visit the page works without a connection. The build puts VERSION and FILES in front.
const OWN = `${registration.scope} `, NAME = OWN + VERSION; // other pages of this host have theirs

addEventListener("install", (event) => event.waitUntil(caches.open(NAME).then((cache) => (
  cache.addAll(FILES.map((name) => new Request(name, { cache: "no-cache" })))))));

addEventListener("activate", (event) => event.waitUntil(caches.keys().then((names) => Promise.all(
  names.filter((name) => name.startsWith(OWN) && name !== NAME).map((name) => caches.delete(name))))));

// Files of one build only: those of the next are used once all windows of this one are closed.
addEventListener("fetch", (event) => event.respondWith(caches.open(NAME)
  .then((cache) => cache.match(event.request, { ignoreSearch: true }))
  .then((known) => known ?? fetch(event.request))));
