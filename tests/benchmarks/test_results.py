"""The tables are right, and a peer that did not run is said. Nothing is timed, no peer is there."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
import results
from results import Record, Results

RAN = Record(
    task="top 10",
    case="3 items, batch 2",
    peer="faiss",
    ours_seconds=0.002,
    ours_low=0.001,
    ours_high=0.003,
    peer_seconds=0.005,
    peer_low=0.004,
    peer_high=0.0061,
    ratio=2.5,
    ours_mib=261.4,
    peer_mib=48.2,
    compile_ours=1.25,
    compile_peer=0.0000042,
    agreement="same lists",
)
SLOWER = replace(RAN, case="5 items, batch 2", ratio=0.8, peer_seconds=0.0016)
MISSING = Record(
    task="top 10",
    case="7 items, batch 2",
    peer="faiss",
    ours_seconds=0.002,
    ours_low=0.001,
    ours_high=0.003,
    note="not run: did not install",
)


def run(*records: Record) -> Results:
    return Results("a machine, 2 cores", "2026-01-02", {"numpy": "2.0"}, 211.0, records)


def test_a_record_is_a_row_with_ranges_memory_and_compilation() -> None:
    assert results.full_table([RAN])[2:] == [
        "| 3 items, batch 2 | recflax 2 ms (1 ms to 3 ms) | faiss 5 ms (4 ms to 6.1 ms) | 2.50 "
        "| 261, 48 | 1.25 s, 4.2 µs | same lists |"
    ]


def test_who_did_not_run_is_said_in_both_tables() -> None:
    (row,) = results.full_table([MISSING])[2:]
    assert "not run: did not install" in row
    assert "| top 10 | faiss | not run: did not install | 1 |" in results.headline(run(MISSING))
    both = results.headline(run(RAN, SLOWER, MISSING))
    assert "| top 10 | faiss | 0.8 to 2.5 | 2, 1 not run |" in both


def test_every_row_has_the_columns_of_its_head() -> None:
    for lines in (results.full_table([RAN, MISSING]), results.headline(run(RAN, MISSING))):
        table = [line for line in lines if line.startswith("|")]
        assert len({line.count("|") for line in table}) == 1


def test_the_headline_says_the_machine_and_the_share_of_its_rate() -> None:
    lines = results.headline(run(replace(RAN, share=0.815), replace(RAN, share=0.7)))
    assert lines[0] == (
        "a machine, 2 cores, 2026-01-02; float32 matrix products at 211 GFLOP/s; numpy 2.0."
    )
    assert "70% to 82%" in lines[-1] or "70% to 81%" in lines[-1]


def test_two_ways_of_ours_are_two_rows() -> None:
    other = replace(RAN, ours="recflax, bootstrap")
    rows = [line for line in results.headline(run(RAN, other)) if line.startswith("| top 10")]
    assert len(rows) == 2
    assert rows[1].startswith("| top 10, bootstrap | faiss |")


def test_a_run_that_was_saved_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    whole = run(RAN, MISSING)
    whole.save(path)
    assert results.load(path) == whole


def test_the_head_of_the_file_names_every_field() -> None:
    assert results.__doc__ is not None
    names = [field.name for kind in (Record, Results) for field in fields(kind)]
    assert [name for name in names if f"``{name}``" not in results.__doc__] == []


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    text = results.replace_between("a <s>old<e> z", "<s>", "<e>", ["new"])
    assert text == "a <s>\nnew\n<e> z"
    with pytest.raises(ValueError, match="once each"):
        results.replace_between("a <s>old z", "<s>", "<e>", ["new"])
