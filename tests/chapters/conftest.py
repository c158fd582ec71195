"""A book of two pages, built as the real one is, in a few seconds."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
for folder in ("tools", "book/_ext"):
    sys.path.insert(0, str(ROOT / folder))
OTHER = """\
(other-page)=
# The other page

```{book-index}
```

```{claims}
```

```{build-report}
```

```{bibliography}
```
"""
GLOSSARY = """\
# Words

```{glossary}
back-door path
后门路径 : 中文
  A path into the action.

basket
购物篮 : 中文
  What is bought at once.
```
"""
SQUARE = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"></svg>'


@dataclass(frozen=True)
class TinyBook:
    """A folder laid out like the repository, with one chapter and one page of back matter."""

    root: Path

    def build(
        self, *form: str, strict: bool = True, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """What ``make book`` runs; or, with the arguments of another format, what makes that."""
        flags = [*(["-n", "-W", "--keep-going"] if strict else []), *form]
        program = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
        names = ("JAX_PLATFORMS", "PYTHONPATH", "RECFLAX_DATA_DIR", "GITHUB_REPOSITORY")
        kept = {name: value for name, value in os.environ.items() if name not in names}
        return subprocess.run(
            [sys.executable, "-c", program, "build", str(self.root), *flags],
            env={**kept, **environ},
            capture_output=True,
            text=True,
            check=False,
        )

    def html(self, page: str) -> str:
        """A built page."""
        return (self.root / "_build" / "html" / "book" / f"{page}.html").read_text("utf-8")

    def article(self, page: str) -> str:
        """The text of a built page without tags, times and memory, one space between words."""
        html = self.html(page)
        text = re.sub(r"<[^>]+>", " ", html[html.index("<article") : html.index("</article>")])
        text = re.sub(r"\d+(\.\d+)? (s|min|GB)\b", "(measured)", text)
        return " ".join(text.split())


def make_tiny_book(root: Path, chapter: str) -> TinyBook:
    """Write the folder: our configuration and extension, and a library of three modules."""
    for part in ("_config.yml", "requirements.txt", "book/_ext", "book/_static"):
        source, target = ROOT / part, root / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    library = root / "recflax"
    (library / "plots").mkdir(parents=True)
    for name in ("__init__.py", "claims.py", "estimates.py", "plots/__init__.py"):
        shutil.copy(ROOT / "recflax" / name, library / name)
    shutil.copy(ROOT / "recflax" / "plots" / "palette.py", library / "plots")
    (library / "answer.py").write_text('"""One number."""\n\nANSWER = 42\n', "utf-8")
    (root / "_toc.yml").write_text(
        "format: jb-book\nroot: book/other\nchapters:\n  - file: book/sample\n"
        "  - file: book/glossary\n",
        "utf-8",
    )
    shutil.copy(ROOT / "book" / "references.bib", root / "book")
    (root / "book" / "other.md").write_text(OTHER, "utf-8")
    (root / "book" / "glossary.md").write_text(GLOSSARY, "utf-8")
    (root / "book" / "sample.svg").write_text(SQUARE, "utf-8")
    (root / "book" / "sample.md").write_text(chapter, "utf-8")
    return TinyBook(root)


@pytest.fixture(scope="session")
def sample() -> str:
    """The text of a chapter that uses everything a chapter may use."""
    first = (ROOT / "tools" / "first_cell.py").read_text("utf-8").rstrip()
    text = (Path(__file__).parent / "sample.md").read_text("utf-8")
    return text.replace("FIRST CELL", first)


@pytest.fixture(scope="session")
def new_book(sample: str) -> Callable[[Path], TinyBook]:
    """Lays out a tiny book in a folder, with the sample as its chapter."""
    return lambda root: make_tiny_book(root, sample)
