"""What can go wrong while the static site is built."""

from processing import ProcessingError


class BuildError(ProcessingError):
    """The static site cannot be built: something is missing, differs from its hash, or has changed its form."""
