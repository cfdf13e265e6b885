"""Write the README's table of models from the catalogue: `.venv/bin/python docs/make_model_table.py`."""

from __future__ import annotations

from pathlib import Path

from processing.models import ModelSpec, load_catalogue
from processing.models.integrity import readable_size

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- models: made by docs/make_model_table.py -->", "<!-- end of models -->"


def make_table() -> str:
    """Return the table as Markdown."""
    head = "| model | good at | size | one photo | licence of the weights | commercial use |"
    return f"{head}\n|---|---|---:|---:|---|---|\n" + "".join(map(_row, load_catalogue().values()))


def _row(spec: ModelSpec) -> str:
    if spec.is_built_in:
        size = f"{readable_size(spec.total_bytes)}, built in"
    else:
        size = f"as {spec.made_from}" if spec.made_from else readable_size(spec.total_bytes)
    cells = (
        f"`{spec.name}`",
        spec.about,
        size,
        f"{spec.wait_s:g} s",
        spec.licence,
        spec.commercial_use,
    )
    return f"| {' | '.join(cells)} |\n"


def main() -> None:
    """Replace what stands between the two marks."""
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{make_table()}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
