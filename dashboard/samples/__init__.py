"""Photos that may be shown to anybody; SOURCES.md names where they come from and their terms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from processing.encoders import encode_preview
from processing.images import decode

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Sample:
    """One bundled photo."""

    name: str
    title: str
    file_name: str

    def read(self) -> bytes:
        """Return the bytes of the file."""
        return (_FOLDER / self.file_name).read_bytes()

    @cache  # noqa: B019 - the three samples live as long as the process
    def thumbnail(self) -> bytes:
        """Return a small WebP of it."""
        return encode_preview(decode(self.read(), name=self.file_name).pixels, long_side=160)


SAMPLES = (
    Sample("astronaut", "An astronaut", "astronaut.jpg"),
    Sample("cat", "A cat", "cat.jpg"),
    Sample("cup", "A cup of coffee", "cup.jpg"),
)


def find_sample(name: str) -> Sample:
    """Return the sample of that name."""
    return next(sample for sample in SAMPLES if sample.name == name)
