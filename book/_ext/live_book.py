"""What this book needs beyond Sphinx's own: it runs, it keeps count, and it works offline.

- The cells run where `recflax` can be imported and where nothing chatters on stderr; their cache
  lies in a folder named after everything that could change what they print.
- The claims, data notes and costs that the chapters left in their outputs are gathered when a page
  is read, and told by three directives: ``{claims}``, ``{chapter-cost}`` and ``{build-report}``.
- MathJax comes from its wheel, and launch buttons from the environment of the build.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cell_environment import cache_key, kernel_environment
from docutils import nodes
from docutils.parsers.rst import directives
from jupyter_cache import get_cache
from myst_nb.core.read import create_nb_reader
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util import inspect, logging
from sphinx.util.docutils import SphinxDirective

LOGGER = logging.getLogger(__name__)
PREFIX, SUFFIX = "application/vnd.recflax.", "+json"


# ------------------------------------------------------------------------- where the cells run


def set_up_cells(app: Sphinx, config: Config) -> None:
    """Prepare the cells' environment, and name their cache, before anything is read."""
    root = Path(app.srcdir)
    os.environ.update(kernel_environment(root, os.environ))
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    cache = root / "_build" / "cells" / cache_key(root, os.environ)
    # a changed value of this setting makes Sphinx read every page again
    config.nb_execution_cache_path = str(cache)


# ------------------------------------------------------------------------- what the cells left


def records(notebook: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The claims, data notes and resources in the outputs of an executed notebook."""
    found: dict[str, list[dict[str, Any]]] = {"claim": [], "data": [], "resources": []}
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            for mime, record in output.get("data", {}).items():
                if mime.startswith(PREFIX):
                    found[mime.removeprefix(PREFIX).removesuffix(SUFFIX)].append(record)
    return found


def pages_that_ran(env: Any) -> dict[str, dict[str, Any]]:
    """By page: its records and its running time. Kept with Sphinx's environment."""
    if not hasattr(env, "live_pages"):
        env.live_pages = {}
    return env.live_pages


def _tellers(env: Any) -> set[str]:
    """The pages that tell what other pages recorded."""
    if not hasattr(env, "live_tellers"):
        env.live_tellers = set()
    return env.live_tellers


def gather(app: Sphinx, doctree: nodes.document) -> None:
    """After a page has been read: keep what its cells recorded, and how long they ran."""
    env: Any = app.env
    executed = getattr(env, "nb_metadata", {}).get(env.docname, {}).get("exec_data")
    if executed is None or not executed["succeeded"]:
        return
    path = env.doc2path(env.docname)
    text = Path(path).read_text(encoding="utf-8")
    reader = create_nb_reader(path, env.myst_config, env.mystnb_config, text)
    assert reader is not None, f"{path} has run, so it is a notebook"
    cache = get_cache(env.mystnb_config.execution_cache_path)
    _, notebook = cache.merge_match_into_notebook(reader.read(text))
    pages_that_ran(env)[env.docname] = {**records(notebook), "seconds": executed["runtime"]}


def forget(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Before a page is read again."""
    pages_that_ran(env).pop(docname, None)
    _tellers(env).discard(docname)


def merge(app: Sphinx, env: BuildEnvironment, docnames: list[str], other: Any) -> None:
    """After another process has read some pages."""
    for docname in docnames:
        if docname in pages_that_ran(other):
            pages_that_ran(env)[docname] = pages_that_ran(other)[docname]
        if docname in _tellers(other):
            _tellers(env).add(docname)


def check_names(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """When all pages are read: a claim's name is unique, and who tells of claims is rewritten."""
    seen: dict[str, str] = {}
    for docname, page in pages_that_ran(env).items():
        for record in page["claim"]:
            name = record["name"]
            if seen.get(name, docname) != docname:
                text = "claim %r is made in %s and in %s"
                LOGGER.warning(text, name, seen[name], docname, type="live_book", subtype="claim")
            seen[name] = docname
    return sorted(_tellers(env))


# ------------------------------------------------------------------------- telling of it


class live_table(nodes.General, nodes.Element):  # noqa: N801  (docutils' custom for nodes)
    """Stands where a directive will tell what the whole build found."""


class Teller(SphinxDirective):
    """``{claims}`` and ``{build-report}``: filled when every page has been read."""

    def run(self) -> list[nodes.Node]:
        """Leave a place to be filled."""
        _tellers(self.env).add(self.env.docname)
        return [live_table(tells=self.name)]


class ChapterCost(Teller):
    """``{chapter-cost}``: this page's time and memory; ``:budget:`` is its limit in seconds."""

    option_spec = {"budget": directives.positive_int}  # noqa: RUF012  (docutils reads it so)

    def run(self) -> list[nodes.Node]:
        """Keep the budget with the page, and leave a place to be filled."""
        self.env.metadata[self.env.docname]["budget"] = self.options.get("budget")
        return super().run()


def table(head: Iterable[str], rows: Iterable[list[Any]], classes: tuple[str, ...]) -> nodes.table:
    """A table of cells that are text or nodes."""
    head = list(head)
    group = nodes.tgroup(cols=len(head))
    group += [nodes.colspec(colwidth=1) for _ in head]

    def row(cells: Iterable[Any]) -> nodes.row:
        made = nodes.row()
        for cell in cells:
            inner = cell if isinstance(cell, nodes.Node) else nodes.Text(str(cell))
            made += nodes.entry("", nodes.paragraph("", "", inner))
        return made

    top, body = nodes.thead("", row(head)), nodes.tbody()
    body += [row(cells) for cells in rows]
    group += [top, body]
    return nodes.table("", group, classes=["recflax-table", *classes])


def _title(env: BuildEnvironment, docname: str) -> str:
    return env.titles[docname].astext() if docname in env.titles else docname


def _link(app: Sphinx, here: str, docname: str, text: str, anchor: str = "") -> nodes.reference:
    address = app.builder.get_relative_uri(here, docname) + anchor
    return nodes.reference("", text, refuri=address, internal=True)


def _gigabytes(page: dict[str, Any]) -> str:
    peak = max((record["peak_memory"] for record in page["resources"]), default=None)
    return "not recorded" if peak is None else f"{peak / 1e9:.1f} GB"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "not recorded"
    return f"{seconds:.0f} s" if seconds < 180 else f"{seconds / 60:.1f} min"


def tell_cost(app: Sphinx, here: str, node: live_table) -> list[nodes.Node]:
    """One line that opens a chapter."""
    page = pages_that_ran(app.env).get(here)
    if page is None:
        return []
    cores = next((record["cores"] for record in page["resources"]), os.cpu_count())
    devices = sorted({d for record in page["resources"] for d in record["devices"]} - {"cpu"})
    text = (
        f"When this page was built, its cells ran in {_seconds(page['seconds'])} "
        f"with at most {_gigabytes(page)} of memory on {cores} cores"
        + (f" and {', '.join(devices)}" if devices else "")
        + "."
    )
    return [nodes.paragraph("", text, classes=["recflax-opening"])]


def tell_claims(app: Sphinx, here: str, node: live_table) -> list[nodes.Node]:
    """Every claim of every page, each page under its title."""
    told: list[nodes.Node] = []
    for docname in _order(app.env):
        rows = [
            [
                _link(app, here, docname, record["sentence"], f"#claim-{record['name']}"),
                record["shown"],
                _interval(record),
                record["seeds"] or ("exact" if record["exact"] else "one log"),
                record["bound"],
            ]
            for record in pages_that_ran(app.env)[docname]["claim"]
        ]
        if rows:
            told.append(nodes.rubric("", _title(app.env, docname)))
            head = ("The claim", "Value", "Interval", "Seeds", "Fails unless")
            told.append(table(head, rows, ("recflax-claims",)))
    return told or [nodes.paragraph("", "No page of this build makes a claim.")]


def _interval(record: dict[str, Any]) -> str:
    if record["exact"]:
        return "none: computed, not estimated"
    found = re.search(r"\[.*\]", record["interval"])
    return f"{found[0] if found else ''} ({record['level']:.0%}, {record['target']})"


def _order(env: BuildEnvironment) -> list[str]:
    """Pages with records, in the order in which the book is read."""
    return reading_order(env, pages_that_ran(env))


def reading_order(env: BuildEnvironment, docnames: Iterable[str]) -> list[str]:
    """Some pages, in the order in which the book is read."""
    order = {docname: place for place, docname in enumerate(_walk(env, env.config.root_doc))}
    return sorted(docnames, key=lambda docname: (order.get(docname, len(order)), docname))


def _walk(env: BuildEnvironment, docname: str) -> Iterator[str]:
    yield docname
    for child in env.toctree_includes.get(docname, []):
        yield from _walk(env, child)


def tell_build(app: Sphinx, here: str, node: live_table) -> list[nodes.Node]:
    """Machine, versions, data, and the time and memory of every page that runs."""
    pages = pages_that_ran(app.env)
    kept = [record for page in pages.values() for record in page["resources"]]
    devices = sorted({device for record in kept for device in record["devices"]}) or ["cpu"]
    machine = [
        ["System", f"{platform.system()} on {platform.machine()}"],
        ["Cores", str(os.cpu_count())],
        ["Devices of JAX", ", ".join(devices)],
        ["Python", platform.python_version()],
    ]
    versions = {name: v for record in kept for name, v in record["versions"].items()}
    machine += [[name, versions[name]] for name in versions]
    costs, total = [], 0.0
    for docname in _order(app.env):
        page = pages[docname]
        total += page["seconds"] or 0.0
        processor = max((record["processor_seconds"] for record in page["resources"]), default=None)
        budget = app.env.metadata[docname].get("budget")
        title = _link(app, here, docname, _title(app.env, docname))
        cells = [_seconds(page["seconds"]), _seconds(budget) if budget else "none"]
        cells += [_seconds(processor), _gigabytes(page)]
        costs.append([title, *cells, len(page["claim"])])
    claims = sum(len(page["claim"]) for page in pages.values())
    costs.append(["All pages", _seconds(total), "", "", "", claims])
    data = {note["name"]: note["present"] for page in pages.values() for note in page["data"]}
    told: list[nodes.Node] = [
        nodes.rubric("", "Time and memory"),
        table(("Page", "Time", "Budget", "Processor time", "Peak memory", "Claims"), costs, ()),
        nodes.rubric("", "Machine and versions"),
        table(("What", "Which"), machine, ()),
    ]
    if data:
        rows = [[name, "read" if here_ else "not here"] for name, here_ in sorted(data.items())]
        told += [nodes.rubric("", "Real data"), table(("Data", "In this build"), rows, ())]
    return told


TELLS = {"claims": tell_claims, "build-report": tell_build, "chapter-cost": tell_cost}


def tell(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Fill the places that directives left."""
    for node in list(doctree.findall(live_table)):
        node.replace_self(TELLS[node["tells"]](app, docname, node))


# ------------------------------------------------------------------------- offline, and launched


def copy_mathjax(app: Sphinx, failure: Exception | None) -> None:
    """One script from the wheel: with SVG output MathJax asks for no fonts."""
    if failure is not None or app.builder.format != "html" or app.builder.name == "epub":
        return
    found = importlib.util.find_spec("sphinx-mathjax-offline")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("sphinx-mathjax-offline is not installed (requirements.txt)")
    source = Path(found.origin).parent / "static" / "mathjax" / "tex-svg.js"
    target = Path(app.outdir) / "_static" / "mathjax" / "tex-svg.js"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def launch(app: Sphinx, config: Config) -> None:
    """Lead the launch buttons to the repository that builds this, or leave them out."""
    repository, branch = _repository(os.environ)
    options = config.html_theme_options
    options["repository_url"] = repository
    options["repository_branch"] = branch
    options["use_repository_button"] = bool(repository)
    if repository:
        options["launch_buttons"] = {
            "notebook_interface": "jupyterlab",
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
        }
    else:
        options["launch_buttons"] = {}


def _repository(environ: Mapping[str, str]) -> tuple[str, str]:
    """Address and branch, from our own variables or from those of GitHub Actions."""
    address = environ.get("RECFLAX_REPOSITORY", "")
    if not address and environ.get("GITHUB_REPOSITORY"):
        server = environ.get("GITHUB_SERVER_URL", "https://github.com")
        address = f"{server}/{environ['GITHUB_REPOSITORY']}"
    branch = environ.get("RECFLAX_BRANCH") or environ.get("GITHUB_REF_NAME") or "main"
    return address, branch


def mend_page(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """What readers' aids need: no roles that they do not understand, a name for what opens."""
    if "body" in context:
        body = context["body"].replace(' role="doc-biblioentry"', "")
        context["body"] = body.replace('role="list" class="citation-list"', 'class="citation-list"')
    contents = context.get("generate_toctree_html")
    if contents is not None:
        named = '<summary aria-label="Pages of this part">'
        context["generate_toctree_html"] = lambda *given, **options: str(
            contents(*given, **options)
        ).replace("<summary>", named)


def plain_summary(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Undo what napoleon makes of "The items: one row each": it reads a type before the colon.

    Types are in signatures here, so what stands before the colon of a property is always prose.
    """
    if (
        what in ("property", "attribute", "data")
        and len(lines) > 1
        and lines[-1].startswith(":type: ")
    ):
        lines[0] = f"{lines.pop().removeprefix(':type: ')}: {lines[0]}"
        lines.append("")


def own_signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str, returned: str
) -> tuple[str, str] | None:
    """The arguments of a network: the metaclass of nnx.Module takes anything and hides them."""
    if what != "class" or signature != "(*args: Any, **kwargs: Any)":
        return None
    own = inspect.signature(obj.__init__, bound_method=True)
    own = own.replace(return_annotation=own.empty)
    return inspect.stringify_signature(own, unqualified_typehints=True), returned


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx."""
    app.add_node(live_table)
    app.add_directive("claims", Teller)
    app.add_directive("build-report", Teller)
    app.add_directive("chapter-cost", ChapterCost)
    app.connect("config-inited", set_up_cells)
    app.connect("config-inited", launch)
    app.connect("doctree-read", gather)
    app.connect("env-purge-doc", forget)
    app.connect("env-merge-info", merge)
    app.connect("env-updated", check_names)
    app.connect("doctree-resolved", tell)
    app.connect("html-page-context", mend_page, priority=900)  # after the theme
    app.connect("build-finished", copy_mathjax)
    app.connect("autodoc-process-signature", own_signature)
    app.connect("autodoc-process-docstring", plain_summary, priority=600)  # after napoleon
    return {
        "version": "1",
        "parallel_read_safe": True,
        "parallel_write_safe": True,
        "env_version": 1,
    }
