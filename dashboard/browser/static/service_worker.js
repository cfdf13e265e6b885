// Keeps the site for a start without a network, and adds the headers that hosts of plain files cannot send.

// Written by the build: path -> SHA-256 of each file that a visit needs, and the headers.
const FILES = "FILES"
const HEADERS = "HEADERS"

// One cache per site, as several may share an origin. Its keys hold the files' hashes: what stays the same from one
// version of the site to the next is not fetched again, and two versions can lie side by side.
const CACHE = `cutout ${self.registration.scope}`
const keyOf = path => `${self.registration.scope}${path}?sha256=${FILES[path]}`

// The first visit has its page wait for this, so nothing is fetched ahead. A later version comes complete or not at all
// and takes over when the next page starts.
self.addEventListener("install", event => event.waitUntil(self.registration.active ? fill() : self.skipWaiting()))
self.addEventListener("activate", event => event.waitUntil(tidy().then(() => self.clients.claim())))

self.addEventListener("message", event => {
  if (event.data === "take over") { self.skipWaiting() }
  if (event.data === "fill") { event.waitUntil(fill()) }
})

self.addEventListener("fetch", event => {
  const {method, url} = event.request
  const {origin, pathname} = new URL(url)
  const scope = new URL(self.registration.scope)
  if (method !== "GET" || origin !== scope.origin || !pathname.startsWith(scope.pathname)) { return }
  const path = pathname.slice(scope.pathname.length) || "index.html"
  if (path.startsWith("models/")) { return } // the inference worker keeps the weights, in a cache of its own
  event.respondWith(answer(event, path))
})

async function answer(event, path) {
  const cache = await caches.open(CACHE)
  const kept = Object.hasOwn(FILES, path) ? await cache.match(keyOf(path)) : undefined
  if (kept) { return withHeaders(kept) }
  const reply = await fetch(event.request)
  if (reply.status === 200 && Object.hasOwn(FILES, path)) { event.waitUntil(keep(cache, path, reply.clone())) }
  return withHeaders(reply)
}

function withHeaders(reply) {
  if (reply.type === "error" || reply.status === 0) { return reply }
  const headers = new Headers(reply.headers)
  for (const [name, value] of Object.entries(HEADERS)) { headers.set(name, value) }
  return new Response(reply.body, {status: reply.status, statusText: reply.statusText, headers})
}

// Keep a reply if it is the file of this version: a host may already have the next one, or send an error page.
async function keep(cache, path, reply) {
  const bytes = await reply.arrayBuffer()
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))
  const sha256 = Array.from(hash, byte => byte.toString(16).padStart(2, "0")).join("")
  if (sha256 !== FILES[path]) { throw new Error(`${path} on the server does not belong to this version of the site.`) }
  const headers = {"Content-Type": reply.headers.get("Content-Type") ?? "application/octet-stream"}
  await cache.put(keyOf(path), new Response(bytes, {headers}))
}

// Fetch what is not kept yet. Fonts are kept when a page uses them: most are for letters of other alphabets.
async function fill() {
  const cache = await caches.open(CACHE)
  for (const path of Object.keys(FILES).filter(path => !path.endsWith(".woff2"))) {
    if (!await cache.match(keyOf(path))) { await keep(cache, path, await fetch(path, {cache: "no-cache"})) }
  }
}

// Forget the files of other versions.
async function tidy() {
  const cache = await caches.open(CACHE)
  const wanted = new Set(Object.keys(FILES).map(keyOf))
  for (const {url} of await cache.keys()) {
    if (!wanted.has(url)) { await cache.delete(url) }
  }
}
