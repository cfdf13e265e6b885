// How Panel imports the modules of its components. They come as one file each and import no other by a bare name, so
// the browser's import() will do; an import map would be for those.
window.importShim = Object.assign(url => import(url), {addImportMap() {}})
