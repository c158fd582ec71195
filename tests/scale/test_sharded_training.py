"""A run in its folder, on one device: what is written, what is refused, what fails."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from recflax.optimiser import TrainConfig
from recflax.recommender import RecommenderConfig
from recflax.scale import sharded_training
from recflax.scale.histories import MadeUpHistories
from recflax.scale.sharded_training import (
    LOG,
    Job,
    StepError,
    last_saved,
    read_log,
    train,
)


def job(folder: Path, **other) -> Job:
    given = {
        "folder": folder,
        "network": RecommenderConfig(7, width=4, blocks=0, max_length=3, query="newest"),
        "training": TrainConfig(batch_size=5, learning_rate=0.05),
        "histories": MadeUpHistories(people=11, length=3, n_items=7),
        "steps": 7,
        "save_every": 3,
    }
    return Job(**given | other)


class StopError(Exception):
    """Somebody pulls the plug."""


def test_a_run_that_was_stopped_is_the_run_that_was_not(tmp_path) -> None:
    seen = []
    last = train(job(tmp_path / "one"), lambda step, loss: seen.append((step, loss)))
    assert [step for step, _ in seen] == [1, 2, 3, 4, 5, 6, 7]
    assert seen[-1][1] == last

    def stop(step: int, loss: float) -> None:
        if step == 5:
            raise StopError

    with pytest.raises(StopError):
        train(job(tmp_path / "two"), stop)
    assert last_saved(tmp_path / "two") == 3
    assert len(read_log(tmp_path / "two")) == 5
    assert train(job(tmp_path / "two")) == last
    assert read_log(tmp_path / "two") == read_log(tmp_path / "one")
    assert "examples" not in read_log(tmp_path / "two")[0]
    kept = {path.name for path in (tmp_path / "two" / "checkpoints").iterdir()}
    assert kept == {"6", "7"}


def test_a_log_without_its_checkpoint_is_begun_anew(tmp_path) -> None:
    (tmp_path / LOG).write_text(json.dumps({"step": 1, "loss": 9.0}) + "\n")
    train(job(tmp_path, steps=2, keep=1))
    assert [line["step"] for line in read_log(tmp_path)] == [1, 2]
    assert read_log(tmp_path)[0]["loss"] < 9.0
    other = replace(job(tmp_path, steps=2), seed=1)
    with pytest.raises(ValueError, match="holds a run of another configuration"):
        train(other)


def test_a_step_that_fails_is_named(tmp_path, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("Connection closed by peer")

    monkeypatch.setattr("recflax.scale.sharded_training.RunFolder.save", broken)
    with pytest.raises(StepError, match="step 3: Connection closed by peer"):
        train(job(tmp_path))


def test_a_loss_that_is_not_finite(tmp_path) -> None:
    training = TrainConfig(batch_size=5, learning_rate=1e38, warmup_steps=0)
    with pytest.raises(FloatingPointError, match="loss is nan in step 2"):
        train(job(tmp_path, training=training))
    assert len(read_log(tmp_path)) == 1
    assert np.isfinite(read_log(tmp_path)[0]["loss"])


def test_a_batch_that_devices_cannot_share_evenly(tmp_path, monkeypatch) -> None:
    mesh = SimpleNamespace(size=2)
    monkeypatch.setattr(sharded_training, "training_mesh", lambda item_parts: mesh)
    with pytest.raises(ValueError, match="batch_size must be a multiple of the 2 devices"):
        train(job(tmp_path))


def test_numbers_out_of_range(tmp_path) -> None:
    for name in ("steps", "save_every", "keep"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1; got 0"):
            job(tmp_path, **{name: 0})
    with pytest.raises(ValueError, match="item_parts must divide the 1 devices; got 2"):
        train(job(tmp_path, item_parts=2))
