// A live region, so that screen readers read each new sentence aloud.
export function render({model, el}) {
  const bar = document.createElement("div")
  const text = document.createElement("span")
  const close = document.createElement("button")
  bar.setAttribute("role", "alert")
  close.type = "button"
  close.textContent = "×"
  close.setAttribute("aria-label", "Close this message")
  close.addEventListener("click", () => { model.text = "" })

  const show = () => {
    bar.className = model.severity
    text.textContent = model.text
    bar.replaceChildren(...(model.text ? [text, close] : []))
  }

  model.on(["text", "severity"], show)
  show()
  el.append(bar)
}
