// The other end of `inference_worker.js`: starts the worker when it is needed, and ends it to cancel.

export class Inference {
  #url
  #settings
  #worker = null
  #loading = null // the answer to `load`, shared by all who ask
  #listeners = new Set()
  #waiting = new Map() // id of a request -> [resolve, reject]
  #last = 0

  // `worker` is the URL of inference_worker.js; the rest, {ort, weights, sha256, size, threads}, goes to its operation
  // `load`. All URLs are absolute: Pyodide's worker may have been made from a string and then resolves none.
  constructor({worker, ...settings}) {
    this.#url = worker
    this.#settings = settings
  }

  // Start the worker and load the model, once; returns {provider, threads, isolated, cached, stored}.
  // `onProgress(bytes, total)` is called while the weights come over the network. If it throws, as Python's does when a
  // run was cancelled, its caller gets that error at once; the loading goes on for the next one.
  async load(onProgress) {
    const loading = (this.#loading ??= this.#start())
    if (!onProgress) { return loading }
    let listener
    const refused = new Promise((_, reject) => {
      listener = (...progress) => { try { onProgress(...progress) } catch (error) { reject(error) } }
    })
    this.#listeners.add(listener)
    try { return await Promise.race([loading, refused]) } finally { this.#listeners.delete(listener) }
  }

  async #start() {
    this.#worker = this.#makeWorker()
    return this.#call("load", this.#settings)
  }

  // Run the model; returns {data, dims}. The buffer of `data` is moved to the worker and gone afterwards.
  async predict(data, dims) {
    await this.load()
    return this.#call("predict", {data, dims: [...dims]}, [data.buffer])
  }

  // End the worker, whatever it does, which gives its memory back; everybody who waits gets an AbortError. The next
  // call starts a new worker, which finds the weights in the cache.
  terminate() {
    this.#stop(named("AbortError", "The inference was cancelled."))
  }

  #makeWorker() {
    const worker = new Worker(this.#url, {type: "module"})
    // What a worker sent before it was ended may still arrive.
    const isCurrent = () => worker === this.#worker
    const crashed = event => {
      const reason = event.message ? `: ${event.message}` : ""
      if (isCurrent()) {
        this.#stop(named("InferenceError", `The worker that runs the model stopped${reason}. Try again; if it happens `
          + "again, reload the page and close other tabs, as memory may be short."))
      }
    }
    worker.onmessage = ({data}) => { if (isCurrent()) { this.#receive(data) } }
    worker.onerror = crashed
    worker.onmessageerror = crashed
    return worker
  }

  #receive({id, value, error, progress}) {
    if (progress) {
      for (const listener of this.#listeners) { listener(...progress) }
      return
    }
    const [resolve, reject] = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (error) { reject(named(error.name, error.message)) } else { resolve(value) }
  }

  async #call(op, arg, transfer = []) {
    const worker = this.#worker
    if (!worker) { throw named("AbortError", "The inference was cancelled.") }
    const id = ++this.#last
    try {
      return await new Promise((resolve, reject) => {
        this.#waiting.set(id, [resolve, reject])
        worker.postMessage({id, op, arg}, transfer)
      })
    } catch (error) {
      // What a failure leaves behind, memory used up perhaps, is nothing to build on. After `terminate` the worker may
      // already be the next one, which has nothing to do with it.
      if (worker === this.#worker) { this.#stop(error) }
      throw error
    }
  }

  #stop(error) {
    this.#worker?.terminate()
    this.#worker = null
    this.#loading = null
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const [, reject] of waiting) { reject(error) }
  }
}

function named(name, message) {
  return Object.assign(new Error(message), {name})
}
