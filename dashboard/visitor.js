const NAME = "cutout_visitor="

// Keeps the visitor's cookie: an existing one wins, so that two tabs opened at once end up as one visitor.
export function render({model}) {
  const stored = document.cookie.split("; ").find((cookie) => cookie.startsWith(NAME))
  const token = stored ? stored.slice(NAME.length) : model.token
  const secure = location.protocol === "https:" ? "; Secure" : ""
  document.cookie = `${NAME}${token}; path=/; max-age=31536000; SameSite=Strict${secure}`
  if (token !== model.token) { model.token = token }
}
