"""`python -m processing`."""

import sys

from processing.cli import main

# A file name need not be valid text; printing it must not fail after the work is done.
for stream in (sys.stdout, sys.stderr):
    stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]

sys.exit(main())
