// node compile.mjs PYODIDE_FOLDER IN.zip OUT.zip: compiles the Python sources in a zip file with Pyodide's own Python,
// whose bytecode is unlike that of another version. The names in the zip file are where they will lie, for tracebacks.

import {readFileSync, writeFileSync} from "node:fs"
import {pathToFileURL} from "node:url"

const [, , folder, input, output] = process.argv
const {loadPyodide} = await import(pathToFileURL(`${folder}/pyodide.mjs`).href)
// A fixed seed: sets of strings are written in the order of their hashes. Without the columns of each instruction, which
// only serve to underline parts of lines in tracebacks, the files are a fifth smaller; without docstrings (optimize=2),
// a tenth more.
const python = await loadPyodide({env: {PYTHONHASHSEED: "0", PYTHONNODEBUGRANGES: "1"}})

python.FS.writeFile("/in.zip", readFileSync(input))
try {
  python.runPython(`
import importlib.util, zipfile
from importlib._bootstrap_external import _code_to_hash_pyc

with zipfile.ZipFile("/in.zip") as sources, zipfile.ZipFile("/out.zip", "w") as compiled:
    for name in sources.namelist():
        source = sources.read(name)
        code = compile(source, "/" + name, "exec", dont_inherit=True, optimize=2)
        # "Unchecked": Python does not look for the source, which is not shipped.
        data = _code_to_hash_pyc(code, importlib.util.source_hash(source), checked=False)
        compiled.writestr(zipfile.ZipInfo(name + "c"), bytes(data))
`)
} catch (error) {
  console.error(String(error)) // alone: Node.js would show the line of Pyodide that threw, which is the whole of it
  process.exit(1)
}
writeFileSync(output, python.FS.readFile("/out.zip"))
