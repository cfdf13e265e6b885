// A live region, so that screen readers read each new sentence aloud.
export function render({model, el}) {
  const bar = document.createElement("div")
  const text = document.createElement("span")
  const action = document.createElement("button")
  const close = document.createElement("button")
  bar.setAttribute("role", "alert")
  action.type = close.type = "button"
  action.className = "action"
  action.addEventListener("click", () => model.send_msg("act"))
  close.textContent = "×"
  close.setAttribute("aria-label", "Close this message")
  close.addEventListener("click", () => { model.text = "" })

  const show = () => {
    bar.className = `notice-${model.severity}`
    text.textContent = model.text
    action.textContent = model.action
    bar.replaceChildren(...(model.text ? (model.action ? [text, action, close] : [text, close]) : []))
  }

  model.on(["text", "action", "severity"], show)
  show()
  el.append(bar)
}
