// onnxruntime-web in a worker of its own: there its threads may wait and its memory goes back to the system when the
// worker ends, and Python's event loop, which lives in another worker, stays free meanwhile.
//
//   request   {id, op, arg}           op: a key of `operations`
//   answer    {id, value}             or {id, error: {name, message}}
//   between   {progress: [bytes, total]}   while the weights come over the network

const CACHE = "cutout-weights"

let ort = null
let session = null

const operations = {
  // URLs are absolute; `ort` is the folder of onnxruntime-web and ends with a slash; `threads` may be left out.
  // `cached`: the weights came from the cache. `stored`: the next visit will find them there.
  async load({ort: base, weights, sha256, size, threads}) {
    const {bytes, cached, stored} = await readWeights({url: weights, sha256, size})
    ort ??= await import(new URL("ort.wasm.min.mjs", base).href) // it finds its own files beside itself
    // Threads share memory, which browsers grant to isolated pages only. Past four of them a small model gains little.
    const isolated = self.crossOriginIsolated === true
    ort.env.wasm.numThreads = isolated ? threads ?? Math.min(4, navigator.hardwareConcurrency || 1) : 1
    await session?.release()
    session = await ort.InferenceSession.create(bytes, {executionProviders: ["wasm"]})
    // Read back: onnxruntime goes on with one thread where it cannot have more.
    return {provider: "wasm", threads: ort.env.wasm.numThreads, isolated, cached, stored}
  },

  async predict({data, dims}) {
    if (!session) { throw named("InferenceError", "No model is loaded. Send `load` before `predict`.") }
    const outputs = await session.run({[session.inputNames[0]]: new ort.Tensor("float32", data, dims)})
    const output = outputs[session.outputNames[0]]
    return {data: output.data, dims: [...output.dims]}
  },
}

// One after the other: onnxruntime's inference session does not take two runs at once.
let last = Promise.resolve()
self.onmessage = ({data: request}) => { last = last.then(() => answer(request)) }

async function answer({id, op, arg}) {
  try {
    const value = await operations[op](arg)
    self.postMessage({id, value}, value.data ? [value.data.buffer] : [])
  } catch (error) {
    // WebAssembly may throw plain numbers.
    self.postMessage({id, error: {name: error?.name ?? "Error", message: error?.message ?? String(error)}})
  }
}

// Weights ------------------------------------------------------------------------------------------------------------

// Return the weights, checked, and whether they came from the cache, and whether the next visit will find them there.
async function readWeights({url, sha256, size}) {
  if (!self.crypto?.subtle || !self.caches) {
    throw named("WeightsError", "This page cannot keep or check the model: browsers allow that on safe addresses only. "
      + "Open it over https, or from http://localhost.")
  }
  // The hash in the address makes new weights another entry, here and in whatever caches lie on the way.
  const key = new URL(url)
  key.searchParams.set("sha256", sha256)
  const cache = await openCache()
  const kept = await takeFromCache(cache, key)
  if (kept && await isWhole(kept, {sha256, size})) { return {bytes: kept, cached: true, stored: true} }

  const bytes = await download(key, size)
  if (!await isWhole(bytes, {sha256, size})) {
    throw named("WeightsError", `The weights at ${url} are damaged: their SHA-256 is not ${sha256}; reload the page to `
      + "fetch them again.")
  }
  return {bytes, cached: false, stored: await keep(cache, key, bytes)}
}

// Firefox refuses the cache in private windows of some versions; the weights then come anew on each visit.
async function openCache() {
  try { return await self.caches.open(CACHE) } catch { return null }
}

async function takeFromCache(cache, key) {
  try {
    const reply = await cache?.match(key)
    return reply ? new Uint8Array(await reply.arrayBuffer()) : null
  } catch {
    return null // an entry whose file is gone; the weights come over the network
  }
}

async function isWhole(bytes, {sha256, size}) {
  if (bytes.length !== size) { return false }
  const digest = new Uint8Array(await self.crypto.subtle.digest("SHA-256", bytes))
  return Array.from(digest, byte => byte.toString(16).padStart(2, "0")).join("") === sha256
}

// Put checked weights in the place of whatever the cache holds of this model. Tell whether that worked.
async function keep(cache, key, bytes) {
  try {
    for (const {url} of await cache.keys()) {
      const other = new URL(url)
      if (other.origin + other.pathname === key.origin + key.pathname) { await cache.delete(url) }
    }
    await cache.put(key, new Response(bytes, {headers: {"Content-Type": "application/octet-stream"}}))
    return true
  } catch {
    return false // no cache, or no room left on the disk
  }
}

async function download(key, size) {
  const where = key.origin + key.pathname
  const cutOff = got => named("WeightsError", `The download of the weights from ${where} ended after ${got} of ${size} `
    + "bytes. Check the connection and retry.")
  let reply
  try {
    // Kept in our own cache, checked; the browser's would hold a second copy and hand a damaged one out again.
    reply = await fetch(key, {cache: "no-store"})
  } catch (error) {
    throw named("WeightsError", `The weights cannot be fetched from ${where}: ${error.message}. Check the connection and `
      + "retry.")
  }
  if (!reply.ok) {
    throw named("WeightsError", `The weights cannot be fetched from ${where}: the server answered ${reply.status}. The `
      + "site is incomplete, or the address is wrong.")
  }
  // The size is known, so the bytes go where they belong: no list of parts that is joined at the end.
  const bytes = new Uint8Array(size)
  const reader = reply.body.getReader()
  let got = 0
  for (;;) {
    const {done, value} = await reader.read().catch(() => { throw cutOff(got) })
    if (done) { break }
    if (got + value.length > size) {
      reader.cancel()
      throw named("WeightsError", `The file at ${where} is longer than the ${size} bytes of the weights. Reload the page: `
        + "it may be older than the site.")
    }
    bytes.set(value, got)
    got += value.length
    self.postMessage({progress: [got, size]})
  }
  if (got < size) { throw cutOff(got) }
  return bytes
}

function named(name, message) {
  return Object.assign(new Error(message), {name})
}
