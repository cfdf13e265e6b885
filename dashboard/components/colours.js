const KEY = "cutout-colours"

// A browser may forbid to store anything: then the choice lasts as long as the page.
const stored = () => { try { return localStorage.getItem(KEY) } catch { return null } }
const store = (choice) => { try { choice ? localStorage.setItem(KEY, choice) : localStorage.removeItem(KEY) } catch {} }

// The page has the colours of the visitor's system until its switch says otherwise; set back, it follows the system again.
export function render({view}) {
  let page = view.parent
  while (page && page.model.class_name !== "Page") { page = page.parent }
  if (!page) { return }
  const system = matchMedia("(prefers-color-scheme: dark)")
  const follow = () => {
    const choice = stored()
    page.model.data.dark_theme = choice ? choice === "dark" : system.matches
  }
  const remember = () => {
    const dark = page.model.data.dark_theme
    store(dark === system.matches ? null : dark ? "dark" : "light")
  }
  follow()
  page.model_proxy.on("dark_theme", remember)
  system.addEventListener("change", follow)
  return () => {
    page.model_proxy.off("dark_theme", remember)
    system.removeEventListener("change", follow)
  }
}
