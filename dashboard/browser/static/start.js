// The first script of the page: gets the service worker in charge, starts Python, shows how far it is.

// What Python's worker says before Panel's script listens.
const early = []
let pyodideWorker = null

const line = document.getElementById("loading-line")
const bar = document.getElementById("loading-bar")

// A load that no service worker controls, or an old one, is reloaded once: only what passes through the service worker
// is isolated, and kept for a start without a network. The mark keeps it at once, whatever the reason for a second time.
const MARK = "cutout-reloaded"

async function beControlled() {
  const workers = navigator.serviceWorker
  if (!workers) { return } // a private window, or plain http: the page works, with one thread and with a network only
  try {
    const registered = await workers.getRegistration()
    if (workers.controller && !registered?.waiting) {
      sessionStorage.removeItem(MARK)
      workers.register("service_worker.js") // looks for a new one, for the next visit
      return
    }
    if (sessionStorage.getItem(MARK)) { return }
    const registration = await workers.register("service_worker.js")
    if (registration.waiting || !registration.active) {
      const change = new Promise(resolve => workers.addEventListener("controllerchange", resolve, {once: true}))
      registration.waiting?.postMessage("take over")
      await Promise.race([change, new Promise(resolve => setTimeout(resolve, 5000))])
    }
    sessionStorage.setItem(MARK, "1")
    location.reload()
    await new Promise(() => {}) // nothing may start any more
  } catch (error) {
    console.warn("No service worker: the page needs the network.", error) // storage may be forbidden, too
  }
}

function show(text, share) {
  line.textContent = text
  if (share === undefined) { bar.removeAttribute("value") } else { bar.value = share }
}

function fail(text) {
  show(text, 0)
  document.getElementById("loading").classList.add("failed")
}

function listen({data: message}) {
  if (message.type === "progress") { show(message.text, message.share) }
  if (message.type === "failure") { fail(message.text) }
}

// Panel's script calls this when the page is there.
function showPage() {
  document.getElementById("loading").remove()
  navigator.serviceWorker?.controller?.postMessage("fill")
}

// Panel's script awaits this; it takes what came before from `early`.
const started = beControlled().then(() => {
  pyodideWorker = new Worker("./worker.js")
  pyodideWorker.addEventListener("message", listen)
  pyodideWorker.addEventListener("error", event => fail(`The page could not be started: ${event.message ?? "a file is missing"}.`))
  pyodideWorker.onmessage = event => early.push(event)
})
