"""Writes the README's room map: one line a file, the first sentence of its docstring. `make room-map`; a test holds it current."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
README = REPOSITORY / "README.md"
ROOMS = ("bot", "concept_store", "myvlm_engine")
BEGIN, END = "<!-- room map: made by `make room-map` -->", "<!-- end of room map -->"


def room_map() -> str:
    """A heading for each folder that holds code, then its files."""
    folders = sorted({file.parent for room in ROOMS for file in (REPOSITORY / room).rglob("*.py")})
    lines = {folder: lines_of(folder) for folder in folders}
    return "\n".join(f"\n**`{folder.relative_to(REPOSITORY)}/`**\n\n{lines[folder]}" for folder in folders if lines[folder])


def lines_of(folder: Path) -> str:
    """Where there is no module but the package itself, it tells of the other files."""
    files = [file for file in sorted(folder.glob("*.py")) if file.name != "__init__.py"]
    pages = sorted([*folder.glob("*.css"), *folder.glob("*.js")])
    if pages and not files:
        return f"- {', '.join(f'`{page.name}`' for page in pages)} {first_sentence(folder / '__init__.py')}"
    return "\n".join(f"- `{file.name}` {first_sentence(file)}" for file in files)


def first_sentence(file: Path) -> str:
    text = " ".join((ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split())
    return re.split(r"(?<=\.)(?<!et al\.)(?<!e\.g\.) (?=[A-Z`])", text)[0].rstrip(".")


def with_map(readme: str) -> str:
    """Errors: ValueError when the README has no place for the map."""
    before, found, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (found and end):
        raise ValueError(f"README.md lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n{room_map()}\n\n{END}{after}"


if __name__ == "__main__":
    README.write_text(with_map(README.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
