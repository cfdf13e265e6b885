"""The headers that the site wants with each response: our server sends them, the service worker adds them elsewhere."""

# Isolated pages may share memory between threads, which makes the model faster. All files are from one origin.
_ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}

# A policy in the page's HTML would not bind its workers, where Python and the model run; a header does.
_POLICY = {
    "default-src": "'none'",
    # blob: is where Panel puts the modules of components that come as text, ours in dashboard/components among them.
    # 'wasm-unsafe-eval' allows WebAssembly and no eval() of JavaScript.
    "script-src": "'self' blob: 'wasm-unsafe-eval'",
    "worker-src": "'self' blob:",
    "connect-src": "'self' blob: data:",
    "img-src": "'self' blob: data:",
    "font-src": "'self' data:",
    # Bokeh, Panel and MUI write style elements and attributes.
    "style-src": "'self' blob: 'unsafe-inline'",
    "manifest-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'self'",
}

HEADERS = {
    **_ISOLATION,
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
