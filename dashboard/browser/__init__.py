"""The dashboard without a server: a folder of files that any web host serves, Python runs in the visitor's browser.

    python -m dashboard.browser build OUT_DIR
    python -m dashboard.browser serve OUT_DIR

Made at build time, on this machine::

    build.py    puts the folder together          npm.py       Pyodide's core, onnxruntime-web
    page.py     Panel's page and worker           wheels.py    Python packages, ours too
    icons.py    the app's icons                   wasm.py      the packages with machine code: numpy, Pillow
    headers.py  what a host should send           bytecode.py  Python sources to what Pyodide loads at once
    serve.py    a server to look at the result    pins.toml, wheels.txt   every version, every hash

Run in the browser: app.py, runtime.py and store.py (Python), static/ (JavaScript). Nothing is imported here, as the
browser imports this package too.
"""
