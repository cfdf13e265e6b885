"""Our own JavaScript components: Python, JavaScript and CSS side by side; values in, values out."""
