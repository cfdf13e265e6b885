// One <figure>: caption, picture or hint. The picture arrives as bytes and becomes a blob URL, revoked when it is replaced.
export function render({model, el}) {
  const figure = document.createElement("figure")
  const caption = document.createElement("figcaption")
  const stage = document.createElement("div")
  const image = document.createElement("img")
  const hint = document.createElement("p")
  stage.className = "stage"
  stage.append(image, hint)
  figure.append(caption, stage)
  let url = null

  const showPicture = () => {
    if (url) { URL.revokeObjectURL(url) }
    const bytes = model.picture
    url = bytes && bytes.byteLength ? URL.createObjectURL(new Blob([bytes], {type: "image/webp"})) : null
    image.hidden = !url
    hint.hidden = !!url
    figure.dataset.state = url ? "loading" : "empty"
    if (url) { image.src = url } else { image.removeAttribute("src") }
  }
  const showText = () => {
    caption.textContent = model.title
    image.alt = model.title
    hint.textContent = model.hint
  }
  const showBackdrop = () => {
    const plain = model.backdrop !== "transparent"
    image.classList.toggle("checkerboard", !plain)
    image.style.backgroundColor = plain ? model.backdrop : ""
  }
  image.addEventListener("load", () => { figure.dataset.state = "ready" })

  model.on("picture", showPicture)
  model.on(["title", "hint"], showText)
  model.on("backdrop", showBackdrop)
  model.on("remove", () => { if (url) { URL.revokeObjectURL(url) } })
  showText()
  showBackdrop()
  showPicture()
  el.append(figure)
}
