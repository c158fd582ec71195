"""fit: the right minimum, the same numbers twice, early stopping, and runs that are taken up."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recflax.optimiser import TrainConfig, make_optimiser
from recflax.training import fit, print_epoch

CONFIG = TrainConfig(epochs=5, batch_size=7, learning_rate=0.05, warmup_steps=3)
KEY = jax.random.key(3)
START = {"slope": jnp.zeros(3), "level": jnp.zeros(())}


def regression(seed: int = 0, n: int = 31) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    return {"x": x, "y": x @ [1.0, -2.0, 0.5] + 0.3 + 0.1 * rng.normal(size=n)}


def squares(params, batch, key):
    """Mean squared error of a line."""
    return ((batch["x"] @ params["slope"] + params["level"] - batch["y"]) ** 2).mean()


def same(one, other) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_it_finds_the_least_squares_solution() -> None:
    data = regression()
    config = TrainConfig(epochs=300, batch_size=31, learning_rate=0.05, weight_decay=0.0)
    result = fit(START, squares, data, config, key=KEY)
    design = np.column_stack([data["x"], np.ones(31)])
    best, *_ = np.linalg.lstsq(design, data["y"], rcond=None)
    found = np.append(result.params["slope"], result.params["level"])
    np.testing.assert_allclose(found, best, atol=2e-3)
    assert result.steps == 300
    assert result.best_epoch == 299


def test_the_same_key_gives_the_same_numbers_and_another_key_others() -> None:
    data = regression()
    one, two = (fit(START, squares, data, CONFIG, key=KEY) for _ in range(2))
    same(one.params, two.params)
    np.testing.assert_array_equal(one.loss, two.loss)
    other = fit(START, squares, data, CONFIG, key=jax.random.key(4))
    assert not np.array_equal(one.params["slope"], other.params["slope"])


def test_the_start_is_not_changed_and_can_be_used_again() -> None:
    start = jax.tree.map(jnp.array, START)
    fit(start, squares, regression(), CONFIG, key=KEY)
    same(start, START)


def test_every_example_is_visited_in_every_epoch() -> None:
    # the gradient of example i moves weight i alone, so untouched weights show a missed example
    n, config = 31, replace(CONFIG, epochs=1, schedule="constant", weight_decay=0.0)
    result = fit(
        {"w": jnp.zeros(n)},
        lambda params, batch, key: params["w"][batch].sum(),
        np.arange(n),
        config,
        key=KEY,
    )
    assert (np.asarray(result.params["w"]) < 0).all()
    assert result.steps == 5  # 31 / 7, rounded up


def test_a_second_fit_with_another_key_does_not_compile_again() -> None:
    traced = []

    def loss(params, batch, key):
        traced.append(1)
        return squares(params, batch, key)

    counts = []
    for seed in range(3):
        fit(START, loss, regression(seed), CONFIG, key=jax.random.key(seed))
        counts.append(len(traced))
    assert counts == [counts[0]] * 3
    assert counts[0] > 0


def test_a_start_made_of_python_numbers_does_not_compile_every_epoch() -> None:
    def traces(level: jax.Array) -> int:
        traced = []

        def loss(params, batch, key):
            traced.append(1)
            return squares(params, batch, key)

        fit(START | {"level": level}, loss, regression(), CONFIG, key=KEY)
        return len(traced)

    weak = jnp.full((), 0.5)  # JAX calls its type weak: it came from a Python number
    assert weak.aval.weak_type
    assert traces(weak) == traces(jnp.zeros((), jnp.float32))


def test_the_loss_key_differs_from_step_to_step() -> None:
    def noise(params, batch, key):
        return params * jax.random.normal(key)

    config = TrainConfig(epochs=2, batch_size=1, schedule="constant", warmup_steps=0)
    result = fit(jnp.ones(()), noise, jnp.zeros(11), config, key=KEY)
    assert result.loss[0] != result.loss[1]


def test_early_stopping_keeps_the_best_parameters() -> None:
    # held-out data from another line: fitting the training line passes it on the way
    data, held_out = regression(), regression(1)
    held_out["y"] = held_out["y"] * 0.5
    config = TrainConfig(
        epochs=60, batch_size=7, learning_rate=0.05, patience=4, schedule="constant"
    )
    result = fit(START, squares, data, config, key=KEY, validation=held_out)
    curve = result.validation_loss
    assert len(curve) < 60
    assert result.best_epoch == curve.argmin() == len(curve) - 1 - 4
    np.testing.assert_allclose(squares(result.params, held_out, None), curve.min(), rtol=1e-5)


def test_validation_weighs_every_example_alike_whatever_the_batch_size() -> None:
    curves = [
        fit(START, squares, regression(), config, key=KEY, validation=regression(1, 13))
        for config in [replace(CONFIG, epochs=1)]
    ]
    expected = squares(curves[0].params, regression(1, 13), None)
    np.testing.assert_allclose(curves[0].validation_loss[0], expected, rtol=1e-5)


@pytest.mark.parametrize("stop_after", [1, 3])
def test_an_interrupted_run_is_taken_up_with_the_same_result(tmp_path: Path, stop_after) -> None:
    data, held_out = regression(), regression(1)
    whole = fit(START, squares, data, CONFIG, key=KEY, validation=held_out)

    def interrupt(epoch: int, loss: float, validation_loss: float | None) -> None:
        if epoch + 1 == stop_after:
            raise KeyboardInterrupt

    arguments = {"key": KEY, "validation": held_out, "checkpoint_dir": tmp_path / "run"}
    with pytest.raises(KeyboardInterrupt):
        fit(START, squares, data, CONFIG, on_epoch=interrupt, **arguments)
    seen = []
    resumed = fit(START, squares, data, CONFIG, on_epoch=lambda *a: seen.append(a[0]), **arguments)
    assert seen == list(range(stop_after, 5))
    same(resumed.params, whole.params)
    np.testing.assert_array_equal(resumed.loss, whole.loss)
    np.testing.assert_array_equal(resumed.validation_loss, whole.validation_loss)


RESUME = """
import sys, runpy
import jax
module = runpy.run_path(sys.argv[1])
fit, START, squares, CONFIG, KEY = (module[n] for n in ("fit", "START", "squares", "CONFIG", "KEY"))
result = fit(START, squares, module["regression"](), CONFIG, key=KEY, checkpoint_dir=sys.argv[2])
print([float(x).hex() for x in result.loss], [float(x).hex() for x in result.params["slope"]])
"""


def test_a_new_process_takes_up_a_run_and_a_relative_folder_is_found(tmp_path: Path) -> None:
    whole = fit(START, squares, regression(), CONFIG, key=KEY)

    def interrupt(epoch: int, loss: float, validation_loss: float | None) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(
            START,
            squares,
            regression(),
            CONFIG,
            key=KEY,
            checkpoint_dir=tmp_path / "run",
            on_epoch=interrupt,
        )
    done = subprocess.run(
        [sys.executable, "-c", RESUME, __file__, "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loss = [float(x).hex() for x in whole.loss]
    slope = [float(x).hex() for x in whole.params["slope"]]
    assert done.stdout.strip() == f"{loss} {slope}"


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    fit(START, squares, regression(), CONFIG, key=KEY, checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match="another configuration"):
        fit(
            START,
            squares,
            regression(),
            replace(CONFIG, learning_rate=0.01),
            key=KEY,
            checkpoint_dir=tmp_path,
        )
    with pytest.raises(ValueError, match="other shapes"):
        fit(
            {"slope": jnp.zeros(4), "level": jnp.zeros(())},
            squares,
            regression(),
            CONFIG,
            key=KEY,
            checkpoint_dir=tmp_path,
        )


def test_a_loss_that_is_not_finite_names_its_epoch() -> None:
    def breaks(params, batch, key):
        return jnp.where(params > 0.2, jnp.nan, -params)

    config = TrainConfig(
        epochs=9, batch_size=11, learning_rate=0.1, warmup_steps=0, schedule="constant"
    )
    with pytest.raises(FloatingPointError, match=r"loss is nan in epoch 4"):
        fit(jnp.zeros(()), breaks, jnp.zeros(11), config, key=KEY)


def test_a_gradient_that_breaks_in_the_last_step_is_no_result() -> None:
    # the loss is 0 and finite, its slope at 0 is not, and no later step is there to show it
    def cusp(params, batch, key):
        return jnp.sqrt(params * 0.0)

    config = TrainConfig(epochs=1, batch_size=11, warmup_steps=0, schedule="constant")
    with pytest.raises(FloatingPointError, match="a parameter is not finite after epoch 1"):
        fit(jnp.ones(()), cusp, jnp.zeros(11), config, key=KEY)


@pytest.mark.parametrize(
    "change",
    [
        {"key": jax.random.key(4)},
        {"data": regression(2)},
        {"data": regression(0, 29)},
        {"validation": regression(1)},
    ],
)
def test_a_checkpoint_of_another_key_or_other_data_is_refused(tmp_path: Path, change) -> None:
    arguments = {"data": regression(), "key": KEY, "checkpoint_dir": tmp_path}
    fit(START, squares, config=CONFIG, **arguments)
    with pytest.raises(ValueError, match="another configuration"):
        fit(START, squares, config=CONFIG, **(arguments | change))


def test_the_learning_rate_rises_and_falls_as_said() -> None:
    def moves(config: TrainConfig, steps: int) -> list[float]:
        optimiser = make_optimiser(config, steps)
        state, found = optimiser.init(jnp.zeros(())), []
        for _ in range(steps):
            update, state = optimiser.update(jnp.ones(()), state, jnp.zeros(()))
            found.append(-float(update))  # of a constant gradient Adam makes steps of the rate
        return found

    rate = np.array(moves(TrainConfig(learning_rate=1.0, warmup_steps=4), 12))
    np.testing.assert_allclose(rate[:4], [0, 1 / 4, 2 / 4, 3 / 4], atol=1e-4)
    rest = (1 + np.cos(np.pi * np.arange(8) / 8)) / 2
    np.testing.assert_allclose(rate[4:], rest, atol=1e-4)
    flat = moves(TrainConfig(learning_rate=1.0, warmup_steps=0, schedule="constant"), 3)
    np.testing.assert_allclose(flat, 1, atol=1e-4)


def test_clipping_scales_a_large_gradient_down() -> None:
    optimiser = make_optimiser(TrainConfig(clip_norm=1.0), 10)
    state = optimiser.init(jnp.zeros(2))
    _, state = optimiser.update(jnp.array([30.0, 40.0]), state, jnp.zeros(2))
    np.testing.assert_allclose(state[1][0].mu, 0.1 * np.array([3 / 5, 4 / 5]), rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1; got 0"),
        ({"warmup_steps": -1}, "warmup_steps must be at least 0; got -1"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0; got -0.1"),
        ({"learning_rate": 0.0}, "learning_rate must be positive and finite; got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive and finite; got nan"),
        ({"clip_norm": float("inf")}, "clip_norm must be positive and finite; got inf"),
        ({"patience": 0}, "patience must be at least 1; got 0"),
        ({"weight_decay": float("nan")}, "weight_decay must be at least 0; got nan"),
        ({"schedule": "linear"}, "schedule must be 'cosine' or 'constant'; got 'linear'"),
    ],
)
def test_the_config_refuses(change: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TrainConfig(**change)


@pytest.mark.parametrize(
    "change", [{"epochs": 2.5}, {"batch_size": True}, {"warmup_steps": None}, {"patience": 1.0}]
)
def test_the_config_wants_whole_numbers(change: dict) -> None:
    with pytest.raises(TypeError, match=f"{next(iter(change))} must be an integer; got"):
        TrainConfig(**change)


def test_fit_refuses_data_that_are_no_examples() -> None:
    for data in ({"x": np.zeros((3, 2)), "y": np.zeros(5)}, np.zeros(()), np.zeros((0, 3)), {}):
        with pytest.raises(ValueError, match="data must hold arrays with one first axis"):
            fit(START, squares, data, CONFIG, key=KEY)
    with pytest.raises(ValueError, match="validation must hold"):
        fit(START, squares, regression(), CONFIG, key=KEY, validation=np.zeros((0, 3)))
    with pytest.raises(ValueError, match="patience needs validation data"):
        fit(START, squares, regression(), replace(CONFIG, patience=1), key=KEY)


def test_progress_is_a_line_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    fit(START, squares, regression(), CONFIG, key=KEY, on_epoch=print_epoch)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[4].startswith("epoch   5  loss ")
