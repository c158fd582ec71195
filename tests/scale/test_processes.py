"""Several processes on this machine against one: the same losses, also after some were killed."""

import os
import shlex
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml

from recflax.scale import processes
from recflax.scale.local import free_port
from recflax.scale.processes import check_processes, connect, main, make_job, make_parser
from recflax.scale.sharded_training import LOG, last_saved, read_log

ROOT = Path(processes.__file__).parents[2]
SCRIPT = Path(__file__).parent / "dies_at.py"
PEOPLE, STEPS, BATCH = 23, 23, 12  # twelve epochs, whose ends fall inside of batches
SIZES = shlex.split(
    f"--people {PEOPLE} --length 5 --items 101 --width 6 --batch {BATCH} --steps {STEPS}"
    " --save-every 5 --learning-rate 0.05 --log-examples"
)


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def start(
    folder: Path, count: int, *, dies: str = "nobody", slurm: bool = False, devices: int = 1
) -> list[Ended]:
    """Start the program in several processes, and wait for all of them."""
    # compiled quickly rather than well: the answers are the same
    flags = f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0"
    environment = os.environ | {
        "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)
    }  # fmt: skip
    port = free_port(61_440, 65_536) if slurm else free_port(20_000, 32_000)
    started = []
    for number in range(count):
        own, where = dict(environment), []
        if slurm:  # what srun sets; JAX makes the port of the job's number
            own |= {
                "SLURM_JOB_ID": str(port - 61_440),
                "SLURM_STEP_NODELIST": "localhost",
                "SLURM_NTASKS": str(count),
                "SLURM_PROCID": str(number),
                "SLURM_LOCALID": str(number),
            }
            where = ["--cluster", "slurm", "--item-parts", "2"]
        elif count > 1:
            where = [f"--coordinator=localhost:{port}", f"--processes={count}"]
            where += [f"--process={number}", "--lost-after=20"]
        command = [sys.executable, "-W", "error", str(SCRIPT), dies, "--folder", str(folder)]
        started.append(
            subprocess.Popen(
                [*command, *where, *SIZES],
                env=own,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
    try:
        words = [one.communicate(timeout=300) for one in started]
    finally:
        for one in started:
            one.kill()
    return [Ended(one.returncode, *said) for one, said in zip(started, words, strict=True)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def losses(folder) -> np.ndarray:
    """One process, from the first step to the last."""
    [ended] = start(folder / "one", 1)
    assert ended.code == 0, ended.err
    assert ended.err == ""
    assert ended.out.startswith(f"1 processes, 1 devices; steps 1 to {STEPS}\n")
    return check_log(folder / "one")


def check_log(folder: Path) -> np.ndarray:
    """Every step once, and no example a second time before all have counted once more."""
    lines = read_log(folder)
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    seen: Counter = Counter()
    for line in lines:
        assert len(line["examples"]) == BATCH
        seen.update(line["examples"])
        times, more = divmod(line["step"] * BATCH, PEOPLE)
        counts = [seen[example] for example in range(PEOPLE)]
        assert sorted(counts) == [times] * (PEOPLE - more) + [times + 1] * more
    return np.array([line["loss"] for line in lines])


def test_losses_say_something(losses) -> None:
    assert losses[0] == pytest.approx(np.log(101), abs=0.3)
    assert losses[-1] < 0.7 * losses[0]
    assert np.abs(np.diff(losses)).min() > 1e-4  # no two steps could be taken for each other


def test_two_processes_of_two_devices_found_by_slurm(folder, losses) -> None:
    for ended in start(folder / "two", 2, slurm=True, devices=2):
        assert ended.code == 0, ended.err
    assert check_log(folder / "two") == pytest.approx(losses, abs=1e-5)
    # each process wrote its own parts of the arrays
    arrays = folder / "two" / "checkpoints" / str(STEPS) / "arrays"
    assert {path.name for path in arrays.glob("ocdbt.process_*")} == {
        "ocdbt.process_0",
        "ocdbt.process_1",
    }


def test_killed_twice_and_finished_by_fewer(folder, losses) -> None:
    run = folder / "killed"
    one, other = start(run, 2, dies="1:8")
    assert other.code == -signal.SIGKILL
    assert one.code == 1
    assert "recflax, process 0: step 9: " in one.err
    assert "the run will go on after step 5, its last checkpoint" in one.err
    assert last_saved(run) == 5
    assert [line["step"] for line in read_log(run)] == list(range(1, 9))

    # process 0, whose death JAX itself may see first
    one, other = start(run, 2, dies="0:14")
    assert "steps 6 to 23" in one.out
    assert one.code == -signal.SIGKILL
    assert other.code in (1, -signal.SIGABRT)
    assert "process has died" in other.err or "another task died" in other.err
    assert last_saved(run) == 10

    with (run / LOG).open("a") as log:
        log.write('{"step": 15, "lo')  # cut off in the middle
    [last] = start(run, 1)
    assert last.code == 0, last.err
    assert "1 processes, 1 devices; steps 11 to 23" in last.out
    assert check_log(run) == pytest.approx(losses, abs=1e-5)


def test_a_folder_of_another_run(folder, losses, monkeypatch, capsys) -> None:
    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(processes.os, "_exit", leave)
    given = ["--folder", str(folder / "one"), *SIZES]
    with pytest.raises(SystemExit, match="1"):
        main([*given, "--width", "4"])
    assert "holds a run of another configuration" in capsys.readouterr().err
    main(given)  # its own: nothing is left to do
    assert f"all {STEPS} steps are taken; loss {losses[-1]:.4f}" in capsys.readouterr().out
    assert len(read_log(folder / "one")) == STEPS


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--processes 0", "processes must be at least 1; got 0"),
        ("--processes 2 --coordinator a:1", "process must say which of the 2 processes this is"),
        (
            "--processes 2 --process 2 --coordinator a:1",
            "process must be from 0 to 1, one number for each of the 2 processes; got 2",
        ),
        ("--process -1", "process must be from 0 to 0, one number for each of the 1"),
        ("--processes 2 --process 1", "coordinator must be host:port, of process 0; got None"),
        ("--processes 2 --process 1 --coordinator here", "must be host:port, of process 0; got"),
        ("--cluster slurm --processes 2", "cluster slurm finds processes; leave it out"),
        (
            "--processes 3 --process 1 --coordinator a:1 --batch 7",
            "batch must be a multiple of the 3 processes; got 7",
        ),
        ("--wait 0", "wait must be at least 1 second; got 0"),
        ("--lost-after 0", "lost_after must be at least 1 second; got 0"),
        ("--steps 0", "steps must be at least 1; got 0"),
        ("--items 0", "n_items must be at least 1; got 0"),
        ("--histories no/such.npy", "there is no no/such.npy"),
    ],
)
def test_what_the_program_refuses(given, message, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--folder", "run", *shlex.split(given)])
    assert message in capsys.readouterr().err


def test_a_cluster_says_how_many() -> None:
    assert check_processes(None, None, None, "slurm") == 0
    assert check_processes("localhost:9911", 3, 2) == 3
    with pytest.raises(ValueError, match="wait must be at least 1 second; got 0"):
        connect(wait=0)


def test_the_job_files_start_this_program(tmp_path) -> None:
    np.save(tmp_path / "histories.npy", np.ones((7, 4), np.int32))
    script = (ROOT / "jobs" / "slurm.sh").read_text().replace("$SLURM_SUBMIT_DIR", str(tmp_path))
    [line] = [row for row in script.replace("\\\n", "").splitlines() if row.startswith("srun")]
    slurm = shlex.split(line)
    assert slurm[2:5] == ["python", "-m", "recflax.scale.processes"]
    found = make_parser().parse_args(slurm[5:])
    assert check_processes(found.coordinator, found.processes, found.process, found.cluster) == 0
    assert make_job(found).network.n_items == 1_000_000

    text = (ROOT / "jobs" / "kubernetes.yaml").read_text()
    service, job = yaml.safe_load_all(text)
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["command"] == ["python", "-m", "recflax.scale.processes"]
    own = [part.replace("$(PROCESS)", "1") for part in container["args"]]
    own = [part.replace("/run-folder/histories", f"{tmp_path}/histories") for part in own]
    found = make_parser().parse_args(own)
    assert check_processes(found.coordinator, found.processes, found.process) == 2
    assert make_job(found).steps == 20_000
    name = job["metadata"]["name"]
    assert found.coordinator.startswith(f"{name}-0.{pod['subdomain']}:")
    assert service["metadata"]["name"] == pod["subdomain"]
    assert service["spec"]["selector"] == {"job-name": name}
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == found.processes
    for words in (script, text):
        assert "Not run on a cluster." in words
