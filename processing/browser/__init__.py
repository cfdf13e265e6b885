"""What `processing` needs inside a browser's Pyodide instead of threads, onnxruntime and Pillow's codecs.

The numbers are made by the same code as elsewhere; what is here waits for JavaScript::

    codecs.py   the browser's decoders and its WebP; our PNG                   codecs.js
    engine.py   `Engine` of `processing.pipeline.run_async`                    inference.js, inference_worker.js

The JavaScript is reached as the Python module `cutout_bridge` (bridge.js), which whoever starts Pyodide registers.
Nothing here is imported on a server.
"""
