// A real <a download>: the browser saves the file itself, also a large one, and the keyboard works as with any link.
export function render({model, el}) {
  const link = document.createElement("a")
  const show = () => {
    const ready = !model.disabled && model.href.startsWith("blob:")
    link.textContent = model.label
    link.download = model.filename
    link.setAttribute("aria-disabled", String(!ready))
    if (ready) { link.href = model.href } else { link.removeAttribute("href") }
  }
  model.on(["label", "href", "filename", "disabled"], show)
  show()
  el.append(link)
}
