// A classic worker, as Panel's is: Pyodide's core, and our JavaScript as the module `cutout_bridge`.
// It runs the Python it is sent and answers with the value of the last line.
importScripts("pyodide/pyodide.js")

const starting = start()

async function start() {
  const pyodide = await loadPyodide({indexURL: "pyodide/"})
  pyodide.registerJsModule("cutout_bridge", await import("./js/bridge.js"))
  return pyodide
}

self.onmessage = async ({data: {id, code}}) => {
  try {
    const value = await (await starting).runPythonAsync(code)
    self.postMessage({id, value: value?.toJs?.({dict_converter: Object.fromEntries}) ?? value})
  } catch (error) {
    self.postMessage({id, error: String(error)})
  }
}
