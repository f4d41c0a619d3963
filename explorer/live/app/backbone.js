// A network's input to its feature maps, in this browser.

/** The network cannot be loaded or run here; `message` is one sentence for people. */
export class BackboneError extends Error {}

/**
 * Begin to load ONNX Runtime and the backbone from this file's folder.
 *
 * onProgress(loaded, total): bytes so far and of all, null where the host does not say; called often.
 *
 * Gives {ready: a promise, run}. `run(input, shape)` takes a Float32Array and its shape [1, 3, h, w], of any size,
 * waits until the network is there, and gives {maps: Float32Array, shape: [C, H, W]}. Both reject with BackboneError.
 */
export function startBackbone(onProgress = () => {}) {
  const waiting = new Map();
  // A worker made of a blob has the page's own content security policy: it can send nothing elsewhere either.
  const begin = `import ${JSON.stringify(new URL("./backbone-worker.js", import.meta.url).href)};`;
  const address = URL.createObjectURL(new Blob([begin], { type: "text/javascript" }));
  const worker = new Worker(address, { type: "module" });
  const ready = new Promise((resolve, reject) => {
    const fail = (reason) => {
      reject(new BackboneError(`The network could not be loaded: ${reason}; reload the page to try again.`));
    };
    worker.onerror = (event) => fail(event.message || "this browser does not run its files");
    worker.onmessage = ({ data }) => {
      if (data.loaded) onProgress(data.loaded, data.total);
      else if (data.failed) fail(data.failed);
      else if (data.ready) resolve();
      else {
        const { accept, refuse } = waiting.get(data.id);
        waiting.delete(data.id);
        if (data.error) refuse(new BackboneError(`The network could not run this input: ${data.error}.`));
        else accept({ maps: data.maps, shape: data.shape });
      }
    };
  });
  ready.catch(() => {}).finally(() => URL.revokeObjectURL(address)); // whoever runs hears of it
  let count = 0;
  return { ready, run: (input, shape) => new Promise((accept, refuse) => {
    ready.catch(refuse);
    waiting.set(count, { accept, refuse });
    worker.postMessage({ id: count, input, shape });
    count += 1;
  }) };
}
