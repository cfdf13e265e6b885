// What `processing/browser/inference*.js` take from a browser and Node lacks: a module worker whose global object is
// `self`, and the Cache API. CACHE names the folder that is the cache; CACHE_FAULT says what is wrong with it.
import {mkdir, readdir, readFile, unlink, writeFile} from "node:fs/promises"
import {isMainThread, parentPort, Worker as Thread, workerData} from "node:worker_threads"

class FolderCache {
  #path = url => `${process.env.CACHE}/${encodeURIComponent(url)}`

  async match(url) {
    try { return new Response(await readFile(this.#path(url))) } catch { return undefined }
  }

  async put(url, reply) {
    if (process.env.CACHE_FAULT === "full") { throw new DOMException("No room.", "QuotaExceededError") }
    await writeFile(this.#path(url), new Uint8Array(await reply.arrayBuffer()))
  }

  async keys() {
    return (await readdir(process.env.CACHE)).map(name => ({url: decodeURIComponent(name)}))
  }

  async delete(url) { await unlink(this.#path(url)) }
}

if (isMainThread) {
  globalThis.Worker = class {
    constructor(url) {
      this.thread = new Thread(new URL(import.meta.url), {workerData: {url}})
      this.thread.on("message", data => this.onmessage({data}))
      this.thread.on("error", error => this.onerror({message: error.message}))
    }

    postMessage(message, transfer) { this.thread.postMessage(message, transfer) }

    terminate() { this.thread.terminate() }
  }
} else {
  globalThis.self = globalThis
  // onnxruntime imports what has its page's origin and fetches the rest; Node fetches no files, and their origin is "null".
  self.location = {href: workerData.url, origin: "file://"}
  const {get} = Object.getOwnPropertyDescriptor(URL.prototype, "origin")
  Object.defineProperty(URL.prototype, "origin", {get() { return this.protocol === "file:" ? "file://" : get.call(this) }})
  // Node gives memory to several threads without conditions.
  self.crossOriginIsolated = true
  self.postMessage = (message, transfer) => parentPort.postMessage(message, transfer)
  if (process.env.CACHE_FAULT !== "insecure") {
    self.caches = {
      async open() {
        if (process.env.CACHE_FAULT === "refused") { throw new DOMException("Not here.", "SecurityError") }
        await mkdir(process.env.CACHE, {recursive: true})
        return new FolderCache()
      },
    }
  }
  await import(workerData.url)
  parentPort.on("message", data => self.onmessage({data}))
}
