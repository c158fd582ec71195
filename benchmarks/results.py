"""The results of ``make bench`` as records, and the tables that are made of them.

``book/tables/bench.json`` holds ``machine``, ``date``, ``versions`` (library to version),
``matmul_gflops`` (the machine's own float32 matrix-multiply rate, measured in the same run),
``store`` (seconds of building the book's simulated store and fitting the lessons' network) and
``records``, a flat list.
A record is one of ours beside one peer:

- ``task``, ``case``: what was done, and its size or variant;
- ``ours``: which of ours it is, where there are several ways; ``peer``: the other library;
- ``ours_seconds``, ``peer_seconds``: medians of the repeats; ``ours_low``, ``ours_high``,
  ``peer_low``, ``peer_high``: their range;
- ``ratio``: peer's seconds by ours, so that above 1 ours is faster;
- ``ours_mib``, ``peer_mib``: the most memory each process held, libraries included;
- ``compile_ours``, ``compile_peer``: what the first call took beyond the median, in seconds;
- ``share``: of ``matmul_gflops`` that ours reaches, where the work is matrix products; else null;
- ``agreement``: how the two results compare;
- ``note``: what is unlike, or why the peer has no times (``not run: ...``, its numbers null).
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

NOT_RUN = "not run: "


@dataclass(frozen=True)
class Record:
    """One of ours beside one peer; see the head of this file."""

    task: str
    case: str
    peer: str
    ours: str = "recflax"
    ours_seconds: float | None = None
    peer_seconds: float | None = None
    ratio: float | None = None
    ours_low: float | None = None
    ours_high: float | None = None
    peer_low: float | None = None
    peer_high: float | None = None
    ours_mib: float | None = None
    peer_mib: float | None = None
    compile_ours: float | None = None
    compile_peer: float | None = None
    share: float | None = None
    agreement: str = ""
    note: str = ""

    @property
    def ran(self) -> bool:
        """Whether both have times."""
        return self.ratio is not None


@dataclass(frozen=True)
class Results:
    """A whole run."""

    machine: str
    date: str
    versions: dict[str, str]
    matmul_gflops: float | None
    records: tuple[Record, ...]
    store: dict[str, float] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the run as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> Results:
    """Read what `Results.save` wrote."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return Results(**found | {"records": tuple(Record(**record) for record in found["records"])})


def seconds(value: float | None) -> str:
    """A time with three digits and the unit that suits it."""
    if value is None:
        return ""
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if value >= scale:
            return f"{rounded(value / scale)} {unit}"
    return f"{rounded(value * 1e6)} µs"


def rounded(value: float) -> str:
    """A number with three digits, or all of those before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def full_table(records: Iterable[Record]) -> list[str]:
    """Markdown: every record with its range, memory and compilation."""
    lines = [
        "| case | ours | peer | times as fast | peak MiB | compiling | |",
        "|---|---|---|---|---|---|---|",
    ]
    for record in records:
        if not record.ran:
            own = _with_range(record.ours_seconds, record.ours_low, record.ours_high)
            lines.append(f"| {record.case} | {own} | {record.peer} | | | | {record.note} |")
            continue
        own = _with_range(record.ours_seconds, record.ours_low, record.ours_high)
        other = _with_range(record.peer_seconds, record.peer_low, record.peer_high)
        said = "; ".join(text for text in (record.agreement, record.note) if text)
        lines.append(
            f"| {record.case} | {record.ours} {own} | {record.peer} {other} "
            f"| {record.ratio:.2f} | {record.ours_mib:.0f}, {record.peer_mib:.0f} "
            f"| {seconds(record.compile_ours)}, {seconds(record.compile_peer)} | {said} |"
        )
    return lines


def _with_range(middle: float | None, low: float | None, high: float | None) -> str:
    if middle is None:
        return ""
    return f"{seconds(middle)} ({seconds(low)} to {seconds(high)})"


def report(results: Results) -> list[str]:
    """Markdown: the whole run, one table a task."""
    lines = [about(results)]
    for task in dict.fromkeys(record.task for record in results.records):
        lines += ["", f"**{task}**", ""]
        lines += full_table(record for record in results.records if record.task == task)
    return lines


def about(results: Results) -> str:
    """Machine, date and versions in a sentence."""
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    rate = results.matmul_gflops
    multiplied = "" if rate is None else f"; float32 matrix products at {rate:.0f} GFLOP/s"
    return f"{results.machine}, {results.date}{multiplied}; {versions}."


def headline(results: Results) -> list[str]:
    """Markdown for the README: for each task and peer the range of ratios over its cases."""
    lines = [
        about(results),
        "",
        "| task | peer | times as fast as the peer | cases |",
        "|---|---|---|---|",
    ]
    for (task, ours, peer), records in _grouped(results.records).items():
        ratios = sorted(record.ratio for record in records if record.ratio is not None)
        by = "" if ours == "recflax" else f", {ours.removeprefix('recflax, ')}"
        if not ratios:
            lines.append(f"| {task}{by} | {peer} | {records[0].note} | {len(records)} |")
            continue
        ends = [rounded(ratio) for ratio in (ratios[0], ratios[-1])]
        span = " to ".join(dict.fromkeys(ends))
        failed = len(records) - len(ratios)
        missing = f", {failed} not run" if failed else ""
        lines.append(f"| {task}{by} | {peer} | {span} | {len(ratios)}{missing} |")
    shares = [record.share for record in results.records if record.share is not None]
    if shares:
        ends = " to ".join(dict.fromkeys(f"{share:.0%}" for share in (min(shares), max(shares))))
        lines += [
            "",
            f"Where the work is matrix products, recflax reaches {ends} of the machine's own rate.",
        ]
    if results.store:
        lines += ["", "| store and lessons | seconds |", "|---|---|"]
        lines += [f"| {name} | {rounded(value)} |" for name, value in results.store.items()]
    return lines


def _grouped(records: Sequence[Record]) -> dict[tuple[str, str, str], list[Record]]:
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.task, record.ours, record.peer), []).append(record)
    return groups


def replace_between(text: str, start: str, end: str, lines: Sequence[str]) -> str:
    """A text with what stands between two marks replaced.

    Raises:
        ValueError: a mark is not there exactly once.
    """
    if text.count(start) != 1 or text.count(end) != 1:
        raise ValueError(f"the text must have {start} and {end} once each")
    before, rest = text.split(start)
    _, after = rest.split(end)
    return before + start + "\n".join(["", *lines, ""]) + end + after
