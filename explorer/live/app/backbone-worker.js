// The backbone, run by ONNX Runtime's WebAssembly in a worker: the page stays quick while it loads and works.
import * as onnxruntime from "./onnxruntime.js";

const FILES = ["onnxruntime.wasm.zlib", "backbone.onnx.zlib"]; // packed, for hosts that send files as they are
const here = (name) => new URL(name, import.meta.url);
const lengths = new Map();
let loaded = 0;

/** A packed file's bytes; says to the page how much of all files has come. */
async function unpacked(name) {
  const response = await fetch(here(name));
  if (!response.ok) throw new Error(`the file ${name} was not found (${response.status})`);
  lengths.set(name, Number(response.headers.get("Content-Length")));
  const counted = new TransformStream({ transform(chunk, out) {
    loaded += chunk.length;
    const all = [...lengths.values()], known = all.length === FILES.length && all.every(Boolean);
    postMessage({ loaded, total: known ? Math.max(loaded, all[0] + all[1]) : null });
    out.enqueue(chunk);
  } });
  const plain = response.body.pipeThrough(counted).pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(plain).arrayBuffer());
}

const created = (graph) => onnxruntime.InferenceSession.create(graph, { executionProviders: ["wasm"] });
let requested = false;

/** Feature maps of an input: {data, dims}. */
async function passed(session, input, shape) {
  const { maps } = await session.run({ x: new onnxruntime.Tensor("float32", input, shape) });
  return maps;
}

async function start() {
  const graph = unpacked(FILES[1]);
  graph.catch(() => {}); // it is awaited below
  Object.assign(onnxruntime.env.wasm, { numThreads: 1, wasmBinary: await unpacked(FILES[0]) });
  await created(new Uint8Array()).catch(() => {}); // it compiles while the graph still comes, and then refuses this one
  const session = await created(await graph);
  onnxruntime.env.wasm.wasmBinary = undefined; // 14 MB
  postMessage({ ready: true });
  if (!requested) await passed(session, new Float32Array(3 * 224 * 224), [1, 3, 224, 224]); // the first pass is the slowest
  return session;
}

const session = start();
session.catch((error) => postMessage({ failed: error.message }));

onmessage = async ({ data: { id, input, shape } }) => {
  requested = true;
  try {
    const maps = await passed(await session, input, shape), values = maps.data.slice();
    maps.dispose();
    postMessage({ id, maps: values, shape: maps.dims.slice(1) }, [values.buffer]);
  } catch (error) {
    postMessage({ id, error: error.message });
  }
};
