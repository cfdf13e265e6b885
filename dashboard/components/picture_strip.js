// A row of <button>s with a small picture each: reachable by Tab, pressed by Enter or Space.
export function render({model, el}) {
  const row = document.createElement("div")
  row.className = "row"
  row.setAttribute("role", "group")

  const showItems = () => {
    row.setAttribute("aria-label", model.caption)
    row.replaceChildren(...model.items.map(({key, title, picture}) => {
      const button = document.createElement("button")
      const image = document.createElement("img")
      button.type = "button"
      button.title = title
      button.dataset.key = key
      button.disabled = model.disabled
      image.src = picture
      image.alt = title
      button.append(image)
      button.addEventListener("click", () => model.send_msg({pick: key}))
      return button
    }))
    showSelected()
  }
  const showSelected = () => {
    for (const button of row.children) { button.setAttribute("aria-pressed", button.dataset.key === model.selected) }
  }

  model.on(["items", "caption", "disabled"], showItems)
  model.on("selected", showSelected)
  showItems()
  el.append(row)
}
