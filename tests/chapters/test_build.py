"""The machinery of the book, on a book of two pages in a folder whose name has a space."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cell_environment
import live_book
import pytest
from cell_environment import cache_key, kernel_environment

ROOT = Path(__file__).resolve().parents[2]
SECRETS = {"GITHUB_TOKEN": "what-the-run-may-do", "SHOP_PASSWORD": "what-nobody-may-read"}


@pytest.fixture(scope="module")
def built(new_book: Callable, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny book after its first strict build, which must have been clean."""
    book = new_book(tmp_path_factory.mktemp("books") / "a tiny book")
    done = book.build(**SECRETS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    assert "Executing notebook" in done.stdout + done.stderr
    return book


@pytest.fixture
def copied(built: Any, tmp_path: Path) -> Any:
    """The same in another place, cells' cache included, with no page read or written yet."""
    target = tmp_path / "another place"
    skip = shutil.ignore_patterns("html", ".doctrees", "jupyter_execute")
    shutil.copytree(built.root, target, ignore=skip)
    return type(built)(target)


def test_what_a_cell_claims_is_told_on_the_page_of_claims(built: Any) -> None:
    text = built.article("other")
    assert (
        "The answer is at least forty. 42 none: computed, not estimated exact at least 40" in text
    )
    link = re.search(r'href="(sample\.html)#(claim-[\w-]+)"', built.html("other"))
    assert link
    assert f'id="{link[2]}"' in built.html("sample")


def test_a_chapter_opens_with_what_it_cost(built: Any) -> None:
    text = built.article("sample")
    assert "its cells ran in (measured) with at most (measured) of memory" in text
    report = built.article("other")
    # time, budget, processor time and memory, and the number of claims
    assert "A sample of everything" + 4 * " (measured)" + " 1 All pages" in report
    assert "Online Retail not here" in report


def test_figures_numbers_and_solutions_reach_the_page(built: Any) -> None:
    html, text = built.html("sample"), built.article("sample")
    assert 'alt="One dot at 42 on an axis from 0 to 50."' in html
    assert "A number from a cell is 42.00 , and Fig. 1 shows it" in text
    assert "Solution to Exercise 2 (Run it) Multiply." in text
    assert "glue(" not in text


def test_a_page_asks_nothing_of_the_network(built: Any) -> None:
    html = built.html("sample")
    loaded = re.findall(r'<(?:script|img)[^>]*src="([^"]+)"', html)
    loaded += re.findall(r'<link[^>]*rel="stylesheet"[^>]*href="([^"]+)"', html)
    assert loaded
    assert [address for address in loaded if "//" in address] == []
    script = built.root / "_build" / "html" / "_static" / "mathjax" / "tex-svg.js"
    assert script.stat().st_size > 1_000_000
    assert "thebe" not in html


def test_what_is_built_tells_nothing_of_who_built_it(built: Any) -> None:
    """No file has a secret of the environment in it, or the folder that it was built in."""
    files = [path for path in (built.root / "_build" / "html").rglob("*") if path.is_file()]
    assert len(files) > 50
    words = [word.encode() for word in (*SECRETS.values(), str(built.root))]
    telling = [(path.name, word) for path in files for word in words if word in path.read_bytes()]
    assert telling == []


def test_from_the_cache_nothing_runs_and_the_same_is_claimed(built: Any, copied: Any) -> None:
    done = copied.build()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Executing notebook" not in done.stdout + done.stderr
    for name in ("sample", "other"):
        assert copied.article(name) == built.article(name)


def test_a_changed_library_changes_the_page(copied: Any) -> None:
    library = copied.root / "recflax" / "answer.py"
    library.write_text(library.read_text("utf-8").replace("42", "45"), "utf-8")
    page = copied.root / "book" / "sample.md"
    page.write_text(page.read_text("utf-8").replace("6 * 7", "5 * 9"), "utf-8")
    done = copied.build()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "A number from a cell is 45.00" in copied.article("sample")
    assert "The answer is at least forty. 45" in copied.article("other")


def test_a_claim_that_fails_fails_the_build(copied: Any) -> None:
    library = copied.root / "recflax" / "answer.py"
    library.write_text(library.read_text("utf-8").replace("42", "39"), "utf-8")
    done = copied.build()
    assert done.returncode != 0
    assert "answer-large" in done.stdout + done.stderr
    assert "39 is not at least 40" in done.stdout + done.stderr


def test_the_cache_is_named_by_all_that_cells_depend_on(tmp_path: Path) -> None:
    for name in ("recflax/a.py", "recflax/deep/b.py", "requirements.txt", "book/tables/t.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("one", "utf-8")
    data = tmp_path / "data" / "retail.csv"
    data.parent.mkdir()
    data.write_text("1,2", "utf-8")
    keys = [cache_key(tmp_path, {})]
    assert cache_key(tmp_path, {}) == keys[0]
    for name in ("recflax/a.py", "recflax/deep/b.py", "requirements.txt", "book/tables/t.csv"):
        (tmp_path / name).write_text("two", "utf-8")
        keys.append(cache_key(tmp_path, {}))
    keys.append(cache_key(tmp_path, {"RECFLAX_DATA_DIR": str(data.parent)}))
    data.write_text("1,2,3", "utf-8")
    keys.append(cache_key(tmp_path, {"RECFLAX_DATA_DIR": str(data.parent)}))
    assert len(set(keys)) == 7
    (tmp_path / "README.md").write_text("prose", "utf-8")
    assert cache_key(tmp_path, {}) == keys[4]


LOOK = """
from jax._src import hardware_utils
hardware_utils.has_visible_nvidia_gpu = lambda: True
import jax
print(jax.devices()[0].platform)
"""


def _run_beside_a_card(environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", LOOK]
    return subprocess.run(program, env=environ, capture_output=True, text=True, check=True)


def test_beside_an_nvidia_card_the_cells_kernel_says_nothing(tmp_path: Path) -> None:
    told = _run_beside_a_card({"PATH": ""})
    assert told.stdout == "cpu\n"
    assert "NVIDIA GPU may be present" in told.stderr  # else this test shows nothing
    quiet = _run_beside_a_card({"PATH": "", **kernel_environment(tmp_path, {})})
    assert (quiet.stdout, quiet.stderr) == ("cpu\n", "")


def test_who_has_a_plugin_or_chose_a_platform_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kernel_environment(tmp_path, {})["JAX_PLATFORMS"] == "cpu"
    assert "JAX_PLATFORMS" not in kernel_environment(tmp_path, {"JAX_PLATFORMS": "cuda"})
    monkeypatch.setattr(cell_environment, "entry_points", lambda group: [group])
    assert "JAX_PLATFORMS" not in kernel_environment(tmp_path, {})


def test_cells_find_the_library_of_this_folder_first(tmp_path: Path) -> None:
    path = kernel_environment(tmp_path, {"PYTHONPATH": "elsewhere"})["PYTHONPATH"]
    assert path.split(live_book.os.pathsep) == [str(tmp_path), "elsewhere"]


@pytest.mark.parametrize(
    ("environ", "address", "branch"),
    [
        ({}, "", "main"),
        ({"GITHUB_REPOSITORY": "a/b"}, "https://github.com/a/b", "main"),
        (
            {
                "GITHUB_REPOSITORY": "a/b",
                "GITHUB_SERVER_URL": "https://git.example",
                "GITHUB_REF_NAME": "dev",
            },
            "https://git.example/a/b",
            "dev",
        ),
        (
            {
                "RECFLAX_REPOSITORY": "https://github.com/c/d",
                "GITHUB_REPOSITORY": "a/b",
                "RECFLAX_BRANCH": "notebooks",
            },
            "https://github.com/c/d",
            "notebooks",
        ),
    ],
)
def test_launch_buttons_lead_to_the_repository_that_builds(
    environ: dict[str, str], address: str, branch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_book.os, "environ", environ)
    config: Any = SimpleNamespace(html_theme_options={})
    live_book.launch(SimpleNamespace(), config)  # type: ignore[arg-type]
    options = config.html_theme_options
    assert (options["repository_url"], options["repository_branch"]) == (address, branch)
    assert bool(options["launch_buttons"]) is options["use_repository_button"] is bool(address)


def test_one_name_claimed_on_two_pages_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[tuple] = []
    monkeypatch.setattr(live_book.LOGGER, "warning", lambda *text, **_: warned.append(text[1:]))
    pages = {"a": {"claim": [{"name": "x"}, {"name": "y"}]}, "b": {"claim": [{"name": "z"}]}}
    env: Any = SimpleNamespace(live_pages=pages, live_tellers={"claims"})
    assert live_book.check_names(SimpleNamespace(), env) == ["claims"]  # type: ignore[arg-type]
    assert warned == []
    pages["b"]["claim"].append({"name": "y"})
    live_book.check_names(SimpleNamespace(), env)  # type: ignore[arg-type]
    assert warned == [("y", "a", "b")]


def test_a_summary_with_a_colon_stays_prose() -> None:
    lines = ["one row an item.", "", ":type: The catalogue"]
    live_book.plain_summary(SimpleNamespace(), "property", "", None, None, lines)  # type: ignore[arg-type]
    assert lines[0] == "The catalogue: one row an item."
    assert not any(line.startswith(":type:") for line in lines)
