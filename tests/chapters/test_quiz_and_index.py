"""A quiz answers at once, the index finds the section, and two more formats hold the formulas."""

import html
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import build as tool
import pytest
from book_index import main_places, pattern_of, read_terms
from docutils import nodes
from docutils.core import publish_doctree
from other_formats import as_mathml
from quiz_text import read_quiz

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(new_book: Callable, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny book, built as pages, as one page and as an EPUB, each without a warning."""
    book = new_book(tmp_path_factory.mktemp("formats"))
    for arguments, _ in tool.FORMATS.values():
        done = book.build(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "WARNING" not in done.stdout + done.stderr
    return book


def test_a_quiz_opens_without_a_script(built: Any) -> None:
    page = built.html("sample")
    box = page[page.index('class="quiz ') :]
    options = re.findall(r"<details class=\"quiz-option.*?</details>", box, re.DOTALL)
    assert len(options) == 2
    assert "<strong>Yes.</strong>" in options[0]
    assert "<em>smaller</em>" in options[0]
    assert "math" in options[0]
    assert "<strong>No.</strong> Try one half." in options[1]
    assert all(" open" not in option.split(">")[0] for option in options)


def test_the_index_names_the_section_that_speaks_of_a_term_most(built: Any) -> None:
    text = built.article("other")
    assert "basket (购物篮): glossary ; Baskets" in text
    assert "; Quiz" not in text  # it is there too, but nothing is explained
    # in no section twice
    assert "back-door path (后门路径): glossary B" in text or text.count("后门路径): glossary") == 1
    link = re.search(r'href="(sample\.html)#(baskets)"', built.html("other"))
    assert link
    assert 'id="baskets"' in built.html("sample")
    assert 'href="glossary.html#term-basket"' in built.html("other")


def test_the_one_page_holds_all_pages_and_its_formulas(built: Any) -> None:
    opened = built.root / "_build" / tool.FORMATS["single"][1]
    page = opened.read_text("utf-8")
    for address in re.findall(r'(?:src|href)="(?!https?:|mailto:|data:)([^"]+)"', page):
        path, _, anchor = address.partition("#")
        assert not path or (opened.parent / path.split("?")[0]).is_file(), address
        assert not anchor or f'id="{anchor}"' in page, address
    assert "A sample of everything" in page
    assert "The other page" in page
    assert r"\tau = E[Y(1)] - E[Y(0)]" in html.unescape(page)
    assert 'alt="One dot at 42' in page


def test_the_epub_holds_formulas_and_figures_and_no_script(built: Any) -> None:
    with zipfile.ZipFile(built.root / "_build" / tool.FORMATS["epub"][1]) as book:
        names = book.namelist()
        page = book.read(next(name for name in names if name.endswith("sample.xhtml"))).decode()
        pictures = [book.getinfo(name).file_size for name in names if "/_images/" in f"/{name}"]
    assert names[0] == "mimetype"
    assert not [name for name in names if "mathjax" in name or name.endswith(".ipynb")]
    tree = ElementTree.fromstring(page)
    formulas = list(tree.iter("{http://www.w3.org/1998/Math/MathML}math"))
    assert len(formulas) >= 5
    assert "".join(formulas[-1].itertext()).strip()
    assert len(pictures) >= 2
    assert min(pictures) > 0


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["Well?", "+ Yes", "  since so", "- No"], "must be explained; 'No' is not"),
        (["Well?", "+ Yes", "  so", "+ No", "  so"], "got 2 options, 2 of them right"),
        (["Well?", "- Yes", "  so", "- No", "  so"], "got 2 options, 0 of them right"),
        (["Well?", "+ Yes", "  so"], "got 1 options, 1 of them right"),
        (["+ Yes", "  so", "- No", "  so"], "must open with its question"),
        (["Well?", "+ Yes", "why?"], "options .* got 'why\\?'"),
    ],
)
def test_a_quiz_that_cannot_be_answered_is_refused(lines: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_quiz(lines)


def test_every_quiz_of_the_book_has_one_right_answer_and_not_always_the_first() -> None:
    from plain_markdown import directive_at

    places = []
    for path in sorted((ROOT / "book").glob("[0-9]*.md")):
        lines = path.read_text("utf-8").splitlines()
        found = [directive_at(lines, at) for at, line in enumerate(lines) if "{quiz}" in line]
        options = [read_quiz(made[0].body)[1] for made in found if made]
        assert len(options) >= 3, f"{path.name} has {len(options)} questions"
        places += [[option.right for option in each].index(True) for each in options]
    assert {0, 1, 2} <= set(places)
    assert max(places.count(place) for place in set(places)) < 0.6 * len(places)


def test_terms_are_found_as_whole_words_in_the_plural_too() -> None:
    found = pattern_of("back-door path").findall("Back-door  paths, a back-door\npath, pathology.")
    assert len(found) == 2
    assert not pattern_of("arm").search("harm, army, arm-chair")
    assert read_terms("```{glossary}\narm\n臂 : 中文\n  One.\n```") == {"arm": "臂"}


def test_code_and_formulas_are_not_words_and_sections_count_for_themselves() -> None:
    tree = publish_doctree(
        "A\n=\n\nThe arm, ``arm arm arm``.\n\nB\n-\n\nAn arm and arms.\n", settings_overrides={}
    )
    top = next(tree.findall(nodes.section), None)
    assert top is None or top["ids"]
    assert main_places(tree, {"arm": "臂", "leg": "腿"}).keys() <= {"arm"}


def test_an_unknown_command_is_no_formula() -> None:
    assert "<msup>" in as_mathml("x^2", "inline")
    with pytest.raises(ValueError, match="no MathML"):
        as_mathml(r"\notacommand{x}", "inline")
