"""The best of a catalogue that comes in blocks, against a sort of everything."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recflax.scale.sharding import items_mesh
from recflax.scale.top_k import _merge, cut, sharded_top_k, streaming_top_k, top_k_of
from recflax.scoring import dot_scores, top_k


def few_values(seed: int, *shape: int) -> np.ndarray:
    """Small whole numbers: products are exact, and many scores are equal."""
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float32)


def full_sort(people: np.ndarray, items: np.ndarray, k: int) -> np.ndarray:
    """Ids by a stable sort of all scores in numpy: the second implementation."""
    return np.argsort(-(people @ items.T), axis=1, kind="stable")[:, :k] + 1


@pytest.mark.parametrize(
    ("n_items", "k", "block"), [(1, 1, 1), (2, 1, 13), (7, 7, 3), (13, 5, 5), (13, 11, 7)]
)
def test_blocks_give_the_list_of_a_full_sort_ties_included(n_items, k, block) -> None:
    mesh = items_mesh(1)
    for seed in range(10):
        people, items = few_values(seed, 3, 2), few_values(100 + seed, n_items, 2)
        values, ids = streaming_top_k(people, cut(items, block), k)
        np.testing.assert_array_equal(ids, full_sort(people, items, k))
        np.testing.assert_array_equal(values, top_k(dot_scores(people, items), k)[0])
        on_one = sharded_top_k(
            jnp.asarray(people), jnp.asarray(items), k, mesh=mesh, n_items=n_items
        )
        np.testing.assert_array_equal(on_one[1], ids)


def test_a_merge_that_prefers_the_newer_block_is_caught() -> None:
    people, items = few_values(0, 3, 2), few_values(1, 13, 2)
    blocks = list(cut(items, 5))
    best = (jnp.zeros((3, 0)), jnp.zeros((3, 0), jnp.int32), jnp.zeros(3, bool))
    for number in (2, 1, 0):  # the later ids to the left
        best = _merge(best, jnp.asarray(people), blocks[number], 5 * number, 7)
    assert (np.asarray(best[1]) != full_sort(people, items, 7)).any()


def test_a_file_that_is_mapped_and_a_function_of_the_block_give_the_same(tmp_path) -> None:
    people, items = few_values(2, 5, 3), few_values(3, 101, 3)
    np.save(tmp_path / "items.npy", items)
    mapped = np.load(tmp_path / "items.npy", mmap_mode="r")
    blocks = list(cut(items, 17))

    def block(number: int) -> np.ndarray | None:
        return blocks[number] if number < len(blocks) else None

    expected = full_sort(people, items, 11)
    for source in (cut(mapped, 17), block, iter(blocks)):
        np.testing.assert_array_equal(streaming_top_k(people, source, 11)[1], expected)


def test_no_array_as_large_as_the_scores_exists_in_a_merge() -> None:
    people, block, k = jnp.zeros((3, 2)), jnp.zeros((17, 2)), 5
    best = (jnp.zeros((3, k)), jnp.zeros((3, k), jnp.int32), jnp.zeros(3, bool))
    text = _merge.lower(best, people, block, 0, k).compile().memory_analysis()
    assert text.temp_size_in_bytes < 20 * 3 * (k + 17) * 4  # a few arrays of B (k + block)


def test_minus_infinity_and_both_zeros_keep_their_place() -> None:
    items = np.array([[-3e38], [0.0], [-0.0], [-3e38], [1.0]], np.float32)
    values, ids = streaming_top_k(np.full((1, 1), 3.0, np.float32), cut(items, 2), 5)
    assert ids.tolist() == [[5, 2, 3, 1, 4]]
    assert values.tolist() == [[3.0, 0.0, 0.0, -np.inf, -np.inf]]


def test_candidates_keep_their_own_ids() -> None:
    values, ids = jnp.array([[0.5, 0.7, 0.5, 0.7]]), jnp.array([[11, 5, 7, 3]])
    assert top_k_of(values, ids, 3)[1].tolist() == [[5, 3, 11]]
    with pytest.raises(ValueError, match=r"ids must have shape \(1, 4\); got \(1, 3\)"):
        top_k_of(values, ids[:, :3], 1)


def test_everything_may_be_traced() -> None:
    people, items = few_values(4, 3, 2), few_values(5, 7, 2)
    found = jax.jit(lambda p, i: sharded_top_k(p, i, 5, mesh=items_mesh(1), n_items=7))
    np.testing.assert_array_equal(found(people, items)[1], full_sort(people, items, 5))


def test_a_score_that_is_nan_is_refused_wherever_a_sort_would_put_it(monkeypatch) -> None:
    def product(people, items):  # what infinite products of finite vectors can add up to
        return dot_scores(people, items).at[1, 2].set(-jnp.nan)

    monkeypatch.setattr("recflax.scale.top_k.dot_scores", product)
    people, items = few_values(6, 3, 11), few_values(7, 5, 11)  # sizes that nothing else compiles
    with pytest.raises(ValueError, match="scores must not be NaN; one of row 1 is"):
        streaming_top_k(people, [items], 2)
    with pytest.raises(ValueError, match="scores must not be NaN; one of row 1 is"):
        sharded_top_k(jnp.asarray(people), jnp.asarray(items), 2, mesh=items_mesh(1), n_items=5)


@pytest.mark.parametrize(
    ("people", "blocks", "k", "kind", "message"),
    [
        (np.ones((1, 2), np.float32), [np.ones((3, 2), np.float32)], 4, ValueError, "from 1 to 3"),
        (np.ones((1, 2), np.float32), [], 1, ValueError, "from 1 to 0"),
        (np.ones((1, 2), np.float32), [], 0, ValueError, "at least 1; got 0"),
        (np.ones((1, 2), np.float32), [np.ones((3, 5), np.float32)], 1, ValueError, r"\(n, 2\)"),
        (np.ones((1, 2), int), [np.ones((3, 2), np.float32)], 1, TypeError, "people must be"),
        (np.ones((1, 2), np.float32), [np.ones((3, 2), int)], 1, TypeError, "block 0 must be"),
        (np.ones(2, np.float32), [], 1, ValueError, r"people must have shape \(n, D\)"),
        ([[1.0]], [], 1, TypeError, "people must be an array of floats; got list"),
        (
            np.full((2, 1), 3.0, np.float32),
            [np.ones((2, 1), np.float32), np.array([[1.0], [np.nan]], np.float32)],
            1,
            ValueError,
            "block 1 must be finite; row 1 is not",
        ),
    ],
)
def test_what_the_door_refuses(people, blocks, k, kind, message) -> None:
    with pytest.raises(kind, match=message):
        streaming_top_k(people, blocks, k)
    with pytest.raises(ValueError, match="block must be at least 1; got 0"):
        cut(np.ones((3, 2)), 0)


def test_a_mesh_that_does_not_fit_is_refused() -> None:
    people, items, mesh = np.ones((2, 3), np.float32), np.ones((5, 3), np.float32), items_mesh()
    two_axes = jax.make_mesh((1, 1), ("items", "people"))
    with pytest.raises(ValueError, match=r"mesh must have one axis; got \('items', 'people'\)"):
        sharded_top_k(people, items, 2, mesh=two_axes, n_items=5)
    uneven = SimpleNamespace(axis_names=mesh.axis_names, size=2)
    with pytest.raises(ValueError, match="a multiple of 2 rows, one part a device; got 5"):
        sharded_top_k(people, items, 2, mesh=uneven, n_items=5)
