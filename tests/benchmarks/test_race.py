"""A race of small scripts: turns are taken, and whoever cannot run leaves a reason."""

from pathlib import Path

import numpy as np
import pytest
import race
from cases import Case, Pair, all_cases, same_lists, same_loss, same_values
from race import Contender, Failure, Outcome
from run import record

COUNTS = """
from protocol import Turns
turns = Turns()
print("a library that prints")
total = turns.take(lambda: turns.inputs["numbers"].sum())
turns.finish({"a library": "1.0"}, total=total)
"""
BREAKS = """
from protocol import Turns
turns = Turns()
turns.begin()
raise ValueError("no such thing")
"""
NEVER_STARTS = "import a_library_that_is_not_there"


@pytest.fixture
def raced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Outcome | Failure]:
    """What five contenders leave, of which two run."""
    scripts = {"counts": COUNTS, "breaks": BREAKS, "never starts": NEVER_STARTS}
    contenders = []
    for name, text in scripts.items():
        (tmp_path / f"{name}.py").write_text(text)
        contenders.append(Contender(name, str(tmp_path / f"{name}.py")))
    contenders.append(Contender("counts again", str(tmp_path / "counts.py"), None, {"inner": 3}))
    contenders.append(Contender("not installed", str(tmp_path / "counts.py"), "somewhere"))
    environments = tmp_path / "environments"
    environments.mkdir()
    (environments / "somewhere.failed").write_text("collecting\nERROR: no such release\n")
    np.savez(tmp_path / "inputs.npz", numbers=np.array([2, 3, 5]))
    folder = tmp_path / "work"
    folder.mkdir()
    return race.race(
        contenders, tmp_path / "inputs.npz", folder, environments=environments, repeats=2
    )


def test_who_runs_has_times_and_results_and_who_does_not_has_a_reason(raced) -> None:
    for name in ("counts", "counts again"):
        outcome = raced[name]
        assert isinstance(outcome, Outcome), outcome
        assert len(outcome.seconds) == 2
        assert outcome.peak_mib > 1
        assert outcome.versions == {"a library": "1.0"}
        assert int(outcome.arrays["total"]) == 10
    assert raced["breaks"] == Failure("ValueError: no such thing")
    assert "a_library_that_is_not_there" in raced["never starts"].reason
    assert raced["not installed"] == Failure("did not install: ERROR: no such release")

    case = Case("a task", "a case", dict, {}, (), ())
    failed = record(case, Pair("a case", "counts", "breaks"), raced, None)
    assert failed.note == "not run: ValueError: no such thing"
    assert failed.ratio is None
    assert failed.ours_seconds is not None
    ran = record(case, Pair("a case", "counts", "counts again"), raced, None)
    assert ran.ratio == pytest.approx(ran.peer_seconds / ran.ours_seconds)


def test_results_that_differ_are_said() -> None:
    lists = {"ids": np.array([[1, 2], [3, 4]])}
    assert same_lists(lists, lists) == "same lists"
    assert (
        same_lists(lists, {"ids": np.array([[1, 2], [4, 3]])}) == "50.0% of the lists are the same"
    )
    values = {"values": np.array([0.5, np.nan])}
    assert same_values(values, values) == "same values"
    assert same_values(values, {"values": np.array([0.75, np.nan])}) == "values up to 0.25 apart"
    assert same_loss({"loss": np.array(2.0)}, {"loss": np.array(2.2)}) == "first losses 9.1% apart"


@pytest.mark.parametrize("quick", [True, False])
def test_every_case_has_its_scripts_and_its_environments(quick: bool) -> None:
    names = set()
    for case in all_cases(quick):
        assert (case.task, case.name) not in names
        names.add((case.task, case.name))
        raced = {contender.name for contender in case.contenders}
        assert {name for pair in case.pairs for name in (pair.ours, pair.peer)} <= raced
        for contender in case.contenders:
            assert (race.HERE / contender.script).is_file(), contender.script
            if contender.environment is not None:
                lock = race.HERE / "peers" / contender.environment / "requirements.txt"
                pinned = [
                    line for line in lock.read_text().split("\n") if line[:1] not in ("", "#")
                ]
                assert pinned
                assert all("==" in line for line in pinned)
