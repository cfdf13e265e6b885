// In Panel's worker, before the application: gets Python and its packages from our own files.

// Written by the build: {library, packages, cutout}, each {url, sha256, size}; and where Python looks for packages.
const ARCHIVES = "ARCHIVES"
const SITE_PACKAGES = "SITE_PACKAGES"

const here = path => new URL(path, self.location.href).href
const progress = (text, share) => self.postMessage({type: "progress", text, share})

async function startPython() {
  try {
    const [bridge, library, packages, cutout] =
      [import(here("./cutout/bridge.js")), ...Object.values(ARCHIVES).map(fetchArchive)]
    bridge.catch(() => {}) // it is awaited below; so are the archives, by then perhaps after another one has failed
    packages.catch(() => {})
    cutout.catch(() => {})
    const python = await loadPyodide({
      indexURL: here("./pyodide/"),
      stdLibURL: URL.createObjectURL(new Blob([await library])),
      // Panel links to its own JavaScript and style sheets under these addresses.
      env: {
        HOME: "/home/pyodide",
        PANEL_CDN_ROOT: here("./static/panel/"),
        PANEL_MATERIAL_UI_CDN_ROOT: here("./static/panel-material-ui/v"),
      },
    })
    for (const archive of [packages, cutout]) { unpack(python.FS, await archive) }
    python.runPython("import importlib; importlib.invalidate_caches()")
    python.registerJsModule("cutout_bridge", {...await bridge})
    progress("Starting the page…")
    return python
  } catch (error) {
    fail(error)
    throw error
  }
}

// Say in the page what went wrong; a rejected promise in a worker is seen by nobody.
function fail(error) {
  const lines = String(error?.message ?? error).trim().split("\n")
  const last = lines.findLast(line => /^[\w.]*(Error|Exception)\b/.test(line)) ?? lines.at(-1) // of a traceback
  self.postMessage({type: "failure", text: `The page could not be started. ${last}`})
}

// Python's conversion of `undefined` to None; panel.io.pyodide would make this function with eval().
self.panelEntries = entries => Object.fromEntries([...entries].map(([key, value]) => [key, value ?? null]))

// Bytes in a change. Panel's converter knows them by being no plain object, which they are after the way to this worker.
class Bytes {
  constructor(buffer) { this.buffer = buffer }
}

function withBytes(value) {
  if (value?.buffer instanceof ArrayBuffer && !ArrayBuffer.isView(value)) { return new Bytes(value.buffer) }
  if (Array.isArray(value)) { return value.map(withBytes) }
  if (value == null || Object.getPrototypeOf(value) !== Object.prototype) { return value }
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, withBytes(each)]))
}

let apply = null

// Hand a change that the page has made to Python, at once and in the order of arrival.
function applyPatch(python, patch) {
  apply ??= python.runPython(`
    from panel.io.pyodide import _convert_json_patch
    from panel.io.state import state
    lambda patch: state.curdoc.apply_json_patch(_convert_json_patch(patch), setter='js')
  `)
  try { apply(withBytes(patch)) } catch (error) { console.error(error) }
}

// Archives -----------------------------------------------------------------------------------------------------------

const received = new Map()

function count(url, bytes) {
  received.set(url, (received.get(url) ?? 0) + bytes)
  const got = [...received.values()].reduce((sum, each) => sum + each, 0)
  const total = Object.values(ARCHIVES).reduce((sum, {size}) => sum + size, 0)
  const megabytes = number => (number / 1e6).toFixed(1)
  progress(`Loading Python and its packages: ${megabytes(got)} of ${megabytes(total)} MB`, got / total)
}

// Return the bytes of a zip file, which comes compressed as a whole.
async function fetchArchive({url, sha256, size}) {
  const reply = await fetch(here(url))
  if (!reply.ok) { throw new Error(`The server answers ${reply.status} for ${url}: the site is incomplete.`) }
  const bytes = new Uint8Array(size)
  let got = 0
  for (const reader = reply.body.getReader(); ;) {
    const {done, value} = await reader.read()
    if (done || got + value.length > size) { got += value?.length ?? 0; break }
    bytes.set(value, got)
    got += value.length
    count(url, value.length)
  }
  // Browsers compute digests on safe addresses only; elsewhere the length has to do.
  if (got !== size || (self.crypto.subtle && await digest(bytes) !== sha256)) {
    throw new Error(`${url} is not the file that belongs to this page. Reload the page: it may have been renewed just now.`)
  }
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))
  return new Uint8Array(await new Response(unpacked).arrayBuffer())
}

async function digest(bytes) {
  const hash = new Uint8Array(await self.crypto.subtle.digest("SHA-256", bytes))
  return Array.from(hash, byte => byte.toString(16).padStart(2, "0")).join("")
}

// Put the files of a zip file, none of them compressed, into Python's file system, where they stay parts of `zip`.
// Python's own zipfile would copy each through its heap, which takes seconds for two thousand files.
function unpack(FS, zip) {
  const view = new DataView(zip.buffer)
  const text = new TextDecoder()
  const end = zip.length - 22 // the record at the end; our archives have no comment behind it
  const folders = new Set()
  let entry = view.getUint32(end + 16, true)
  for (let left = view.getUint16(end + 10, true); left > 0; left--) {
    const size = view.getUint32(entry + 24, true)
    const nameLength = view.getUint16(entry + 28, true)
    const path = SITE_PACKAGES + text.decode(zip.subarray(entry + 46, entry + 46 + nameLength))
    const header = view.getUint32(entry + 42, true)
    const start = header + 30 + view.getUint16(header + 26, true) + view.getUint16(header + 28, true)
    const folder = path.slice(0, path.lastIndexOf("/"))
    if (!folders.has(folder)) { FS.mkdirTree(folder); folders.add(folder) }
    FS.writeFile(path, zip.subarray(start, start + size), {canOwn: true})
    entry += 46 + nameLength + view.getUint16(entry + 30, true) + view.getUint16(entry + 32, true)
  }
}
