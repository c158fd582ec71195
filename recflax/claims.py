r"""What a chapter claims, and what it cost to find out: kept in the outputs of its cells.

A number in prose can go stale and nobody notices. A `claim` is a sentence bound to a number and to
the bound that would make it false: when the number moves across the bound, the cell raises and the
build fails. What the claim said is kept as JSON in the cell's own output, beside the line that the
reader sees, so it survives wherever the output survives, and the book can gather every claim on
one page.

An estimate has to satisfy its bound with the end of its interval that lies nearest to it, not with
its value; an exact number, computed and not estimated, with the number itself.
"""

from __future__ import annotations

import html
import math
import numbers
import os
import platform
import re
import sys
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from recflax.estimates import Estimate

CLAIM = "application/vnd.recflax.claim+json"
DATA = "application/vnd.recflax.data+json"
RESOURCES = "application/vnd.recflax.resources+json"

_RECORD = "application/papermill.record/"
_VERSIONS = ("jax", "jaxlib", "flax", "optax", "numpy", "pandas", "scikit-learn")
_NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
_made: dict[str, str] = {}  # what this process has claimed: name -> sentence


class ClaimError(AssertionError):
    """A claim that does not hold."""


def claim(
    name: str,
    sentence: str,
    estimate: Estimate | float | bool,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    seeds: int | Iterable[int] | None = None,
    exact: bool = False,
) -> None:
    """State a sentence that is true only while a number respects its bound.

    Args:
        name: Unique within the book: small letters and digits, with hyphens, underscores or dots
            between. The same name with the same sentence may be claimed again, as when a cell is
            run twice.
        sentence: What is claimed, readable without the chapter.
        estimate: An `Estimate`, whose interval must respect the bounds; or a number or a
            truth value that is computed exactly.
        at_least: The least that the lower end may be, in the unit of the estimate.
        at_most: The most that the upper end may be.
        seeds: How many seeds stand behind the number, or the seeds themselves.
        exact: Says that the number is exact, and refuses an `Estimate`.

    Raises:
        ClaimError: The claim does not hold; NaN respects no bound.
        TypeError: The estimate is no `Estimate`, number or truth value.
        ValueError: No bound, a bound that is NaN or bounds that contradict each other, a name that
            is not one or is taken, an empty sentence, no seed, or an interval for an exact number.

    Example:
        >>> ndcg = Estimate(0.3174, 0.002, 0.3135, 0.3213, "people like them")
        >>> claim("ndcg-above-mf", "The network ranks above factors.", ndcg, at_least=0.3)
        Claim: The network ranks above factors. .317 ± .004, at least 0.3
        >>> claim("rows-sum-to-one", "A policy is a distribution.", 1.0, at_least=1, at_most=1)
        Claim: A policy is a distribution. 1, exactly 1
        >>> claim("ndcg-twice", "Twice as good.", ndcg, at_least=0.32)
        Traceback (most recent call last):
        ...
        recflax.claims.ClaimError: ndcg-twice: "Twice as good." does not hold: .317 [.314, .321] \
is not at least 0.32
    """
    _check_words(name, sentence)
    bound = _bound(at_least, at_most, name)
    if isinstance(estimate, Estimate):
        if exact:
            raise ValueError(f"{name}: an exact number has no interval; got {estimate!r}")
        value, lower, upper = estimate.value, estimate.lower, estimate.upper
        shown, interval = format(estimate), estimate.with_interval(max(estimate.decimals, 3))
    elif isinstance(estimate, numbers.Real) or _is_truth(estimate):
        value = lower = upper = float(estimate)
        shown = interval = str(bool(estimate)) if _is_truth(estimate) else f"{value:.6g}"
    else:
        kind = type(estimate).__name__
        raise TypeError(f"{name}: estimate must be an Estimate, number or bool, not {kind}")

    above = at_least is None or lower >= at_least
    below = at_most is None or upper <= at_most
    if not (above and below) or math.isnan(value):
        raise ClaimError(f'{name}: "{sentence}" does not hold: {interval} is not {bound}')
    _made[name] = sentence
    record = {
        "name": name,
        "sentence": sentence,
        "value": value,
        "lower": lower,
        "upper": upper,
        "exact": not isinstance(estimate, Estimate),
        "shown": shown,
        "interval": interval,
        "target": estimate.target if isinstance(estimate, Estimate) else None,
        "level": estimate.level if isinstance(estimate, Estimate) else None,
        "at_least": None if at_least is None else float(at_least),
        "at_most": None if at_most is None else float(at_most),
        "bound": bound,
        "seeds": _seed_count(seeds, name),
    }
    line = (
        f'<div class="recflax-claim" id="claim-{name}"><span class="recflax-tag">Claim</span> '
        f"{html.escape(sentence)} <b>{html.escape(shown)}</b>, {html.escape(bound)}</div>"
    )
    _emit(CLAIM, record, line, f"Claim: {sentence} {shown}, {bound}")


def data_note(name: str, *, present: bool, concludes: str, would_show: str) -> None:
    """Say on which data a section ran and what they allow, or what it would have shown.

    Args:
        name: The data's name.
        present: Whether they are here.
        concludes: Which conclusions these data allow, shown when they are here.
        would_show: What the section would have shown, when they are not.

    Raises:
        ValueError: A text is empty.

    Example:
        >>> data_note("Online Retail", present=False, concludes="Rankings, no effects.",
        ...           would_show="It would rank 3,665 products for 1,538 customers.")
        Online Retail is not here (RECFLAX_DATA_DIR). It would rank 3,665 products for 1,538 \
customers.
    """
    for argument, text in (("name", name), ("concludes", concludes), ("would_show", would_show)):
        if not text.strip():
            raise ValueError(f"{argument} must say something; got {text!r}")
    present = bool(present)
    if present:
        plain = f"{name} is here. {concludes}"
    else:
        plain = f"{name} is not here (RECFLAX_DATA_DIR). {would_show}"
    line = (
        '<div class="recflax-data"><span class="recflax-tag">Data</span> '
        f"{html.escape(plain)}</div>"
    )
    record = {"name": name, "present": present, "concludes": concludes, "would_show": would_show}
    _emit(DATA, record, line, plain)


def resources() -> None:
    """Record what this process has used so far: the last line of a chapter.

    It keeps the peak of resident memory in bytes, the processor time in seconds (all cores
    together), the devices that JAX computes on, and the versions of the libraries.
    """
    memory, seconds = peak_memory(), time.process_time()
    installed = {}
    for package in _VERSIONS:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    record = {
        "peak_memory": memory,
        "processor_seconds": seconds,
        "cores": os.cpu_count(),
        "devices": _devices(),
        "python": platform.python_version(),
        "versions": installed,
    }
    plain = f"{seconds:.0f} s of processor time, at most {memory / 1e9:.2f} GB of memory"
    line = f'<div class="recflax-cost"><span class="recflax-tag">Cost</span> {plain}</div>'
    _emit(RESOURCES, record, line, plain)


def glue(**values: Estimate | float | str) -> None:
    """Hand numbers of this cell to the prose: the text then says what was computed.

    A number, say ``lift=0.314``, is called into the text as ``{glue:text}`lift:.2f```. In the book
    the cell is hidden; in a notebook it shows each name with its value.

    Args:
        values: Numbers, texts, or an `Estimate`, which is given as value and half-width.

    Raises:
        TypeError: A value is none of these.

    Example:
        >>> glue(lift=0.314, shop="lamps")
        lift = 0.314, shop = 'lamps'
    """
    plain = {}
    for name, value in values.items():
        if isinstance(value, numbers.Integral):
            plain[name] = repr(int(value))
        elif isinstance(value, numbers.Real):
            plain[name] = repr(float(value))
        elif isinstance(value, Estimate | str):
            plain[name] = repr(str(value))
        else:
            raise TypeError(
                f"{name} must be a number, text or Estimate, not {type(value).__name__}"
            )
    line = ", ".join(f"{name} = {text}" for name, text in plain.items())
    if _notebook() is not None:
        from IPython.display import display

        for name, text in plain.items():
            # the form in which myst-nb, and scrapbook before it, look for a value by name
            record = {"scrapbook": {"name": name, "mime_prefix": _RECORD}}
            display({f"{_RECORD}text/plain": text}, raw=True, metadata=record)
    print(line)


def peak_memory(process: int | None = None) -> int:
    """Return the most memory, in bytes, that a process has held at once.

    Args:
        process: Its number, under Linux; None is this one. Of one that has ended it is 0.

    Example:
        >>> peak_memory() > 10_000_000
        True
    """
    # the system's other count starts with what the process held that started this one
    status = Path("/proc") / ("self" if process is None else str(process)) / "status"
    try:
        lines = status.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    if process is not None:
        return 0
    if sys.platform == "win32":
        import psutil  # comes with every Jupyter kernel

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def _check_words(name: str, sentence: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"name must be small letters, digits and hyphens; got {name!r}")
    if not isinstance(sentence, str) or not sentence.strip():
        raise ValueError(f"{name}: sentence must say something; got {sentence!r}")
    if _made.get(name, sentence) != sentence:
        raise ValueError(f"{name}: this name already claims {_made[name]!r}")


def _bound(at_least: float | None, at_most: float | None, name: str) -> str:
    """The bound in words, after checking that there is one."""
    if at_least is None and at_most is None:
        raise ValueError(f"{name}: a claim needs at_least or at_most")
    for argument, bound in (("at_least", at_least), ("at_most", at_most)):
        if bound is not None and math.isnan(bound):
            raise ValueError(f"{name}: {argument} must be a number; got NaN")
    if at_most is None:
        return f"at least {at_least:g}"
    if at_least is None:
        return f"at most {at_most:g}"
    if at_least > at_most:
        raise ValueError(f"{name}: at_least {at_least:g} is above at_most {at_most:g}")
    return f"exactly {at_least:g}" if at_least == at_most else f"{at_least:g} to {at_most:g}"


def _is_truth(number: Any) -> bool:
    return type(number).__name__ in ("bool", "bool_")


def _seed_count(seeds: int | Iterable[int] | None, name: str) -> int | None:
    if seeds is None:
        return None
    count = len(set(seeds)) if isinstance(seeds, Iterable) else int(seeds)
    if count < 1:
        raise ValueError(f"{name}: seeds must be at least one; got {seeds!r}")
    return count


def _devices() -> list[str]:
    """The kinds of device that JAX uses in this process; none if it was not imported."""
    if "jax" not in sys.modules:
        return []
    return sorted({device.device_kind for device in sys.modules["jax"].devices()})


def _notebook() -> Any:
    """The shell of the notebook that this runs in, or None."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell if hasattr(shell, "kernel") else None


def _emit(mime: str, record: dict[str, Any], line: str, plain: str) -> None:
    """Show a line, with its record beside it, in a notebook; print it elsewhere."""
    if _notebook() is None:
        print(plain)
        return
    from IPython.display import display

    display({mime: record, "text/html": line, "text/plain": plain}, raw=True)
