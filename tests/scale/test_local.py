"""Processes started on this machine: they train, are killed and taken up, and are measured."""

import shlex
import signal
import socket

import numpy as np
import pytest

from recflax.scale.local import free_port, run_here
from recflax.scale.sharded_training import last_saved, read_log

PEOPLE, BATCH, STEPS = 23, 6, 17
SIZES = shlex.split(
    f"--people {PEOPLE} --length 5 --items 101 --width 6 --batch {BATCH} --steps {STEPS}"
    " --save-every 5 --learning-rate 0.05 --log-examples"
)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    return folder, run_here(folder, SIZES)


def losses(folder) -> np.ndarray:
    return np.array([line["loss"] for line in read_log(folder)])


def test_one_process_is_measured(alone) -> None:
    folder, found = alone
    [ended] = found.ended
    assert ended.code == 0, ended.err
    assert ended.out.startswith(f"1 processes, 1 devices; steps 1 to {STEPS}\n")
    assert len(found.seconds) == STEPS
    assert (np.diff(found.seconds) >= 0).all()
    assert found.seconds[0] > 0.1  # nothing is trained before Python has started
    assert ended.cpu_seconds > 0.5
    assert 100e6 < ended.peak_bytes < 5e9
    assert losses(folder)[-1] < losses(folder)[0]


def test_a_killed_run_is_finished_by_one(alone, tmp_path) -> None:
    found = run_here(tmp_path, SIZES, processes=2, kill=(1, 7))
    assert [ended.code for ended in found.ended] == [1, -signal.SIGKILL]
    saved = last_saved(tmp_path)
    assert saved % 5 == 0
    assert 5 <= saved < STEPS
    assert f"the run will go on after step {saved}, its last checkpoint" in found.ended[0].err

    found = run_here(tmp_path, SIZES)
    assert found.ended[0].code == 0, found.ended[0].err
    assert f"steps {saved + 1} to {STEPS}" in found.ended[0].out
    assert len(found.seconds) == STEPS
    assert len(set(found.seconds[:saved])) == 1  # kept from the checkpoint, there at once
    assert losses(tmp_path) == pytest.approx(losses(alone[0]), abs=1e-5)
    counted = np.bincount(
        np.concatenate([line["examples"] for line in read_log(tmp_path)]), minlength=PEOPLE
    )
    assert counted.sum() == BATCH * STEPS
    assert set(counted) == {BATCH * STEPS // PEOPLE, BATCH * STEPS // PEOPLE + 1}


def test_whoever_runs_too_long_is_killed(tmp_path) -> None:
    found = run_here(tmp_path, SIZES, processes=2, limit=0.3)
    assert [ended.code for ended in found.ended] == [-signal.SIGKILL] * 2
    assert found.seconds == []


def test_a_port_that_is_taken_is_not_free() -> None:
    with socket.create_server(("localhost", 0)) as taken:
        port = taken.getsockname()[1]
        assert free_port(port - 1, port + 2) != port


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"processes": 0}, "processes and limit must be above 0; got 0 and 600"),
        ({"limit": 0.0}, "processes and limit must be above 0; got 1 and 0"),
        ({"processes": 3, "kill": (3, 1)}, "kill must name a process from 0 to 2; got 3"),
        ({"kill": (-1, 1)}, "kill must name a process from 0 to 0; got -1"),
    ],
)
def test_what_is_refused(given, message, tmp_path) -> None:
    with pytest.raises(ValueError, match=message):
        run_here(tmp_path, SIZES, **given)
