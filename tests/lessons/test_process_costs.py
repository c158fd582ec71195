"""What processes cost: a small row, its losses, and claims that would notice."""

import pytest

from recflax.lessons import process_costs
from recflax.lessons.process_costs import CATALOGUES, PROCESSES, claims, run, table_bytes, trained
from recflax.lessons.statements import by_name


def test_a_row(monkeypatch) -> None:
    monkeypatch.setattr(process_costs, "CATALOGUES", (101, 2_003))
    monkeypatch.setattr(process_costs, "PROCESSES", (1, 2))
    row = run(7, 1)
    cases = [f"{kind}_101_{count}" for kind in ("gb", "apart") for count in (1, 2)]
    assert set(row) == {"seed", "people", *cases}
    assert row["apart_101_1"] == 0
    assert 0 < row["apart_101_2"] < 1e-5 or row["apart_101_2"] == 0
    assert row["gb_101_2"] > 0.1


def test_bytes_on_paper() -> None:
    assert table_bytes(10, arrays=1) == 10 * 64 * 4
    assert table_bytes(10, processes=2) == 4 * 10 * 64 * 4 / 2


def rows(two: float = 0.5, four: float = 0.25, apart: float = 1e-6) -> list[dict]:
    share = {1: 1.0, 2: two, 4: four}
    return [
        {
            "seed": seed,
            **{
                f"gb_{n_items}_{count}": 0.5 + n_items * 4e-6 * share[count] + 1e-3 * seed
                for n_items in CATALOGUES
                for count in PROCESSES
            },
            **{f"apart_{n_items}_{count}": apart for n_items in CATALOGUES for count in PROCESSES},
        }
        for seed in range(3)
    ]


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        ({"two": 1.0}, "processes-memory-two"),
        ({"four": 0.5}, "processes-memory-four"),
        ({"apart": 1e-3}, "processes-same-training"),
    ],
)
def test_claims_hold_and_fail(broken, name) -> None:
    assert all(statement.holds for statement in claims(rows()))
    assert not by_name(claims(rows(**broken)))[name].holds


def test_a_process_that_fails_is_said(tmp_path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)process 0 of 1 ended: .*n_items must be"):
        trained(tmp_path, 0, 1, seed=1, steps=2)
    with pytest.raises(ValueError, match="size must be at least 10; got 9"):
        run(1, 9)
