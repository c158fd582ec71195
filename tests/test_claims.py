"""A claim holds by the end of its interval, is kept with its output, and can fail."""

import math
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from recflax import claims
from recflax.claims import ClaimError, claim, data_note, glue, peak_memory, resources
from recflax.estimates import STORES, Estimate
from recflax.intervals import mean_over_seeds


@pytest.fixture(autouse=True)
def nothing_claimed_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_made", {})


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict, dict]]:
    """What a notebook would have been given: bundles with their metadata."""
    given: list[tuple[dict, dict]] = []

    def display(bundle: dict, raw: bool, metadata: dict | None = None) -> None:
        assert raw
        given.append((bundle, metadata or {}))

    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    return given


def between(lower: float, upper: float) -> Estimate:
    return Estimate((lower + upper) / 2, (upper - lower) / 4, lower, upper, STORES)


@pytest.mark.parametrize(
    ("estimate", "bounds", "holds"),
    [
        (between(0.3, 0.5), {"at_least": 0.3}, True),
        (between(0.3, 0.5), {"at_least": 0.31}, False),  # the value of .4 is enough, the end not
        (between(0.3, 0.5), {"at_most": 0.5}, True),
        (between(0.3, 0.5), {"at_most": 0.49}, False),
        (between(0.3, 0.5), {"at_least": 0.2, "at_most": 0.6}, True),
        (between(0.3, 0.5), {"at_least": 0.2, "at_most": 0.45}, False),
        (between(0.3, 0.5), {"at_least": 0.35, "at_most": 0.6}, False),
        (Estimate(0.4, 0.1, -math.inf, 0.5, STORES), {"at_least": 0.0}, False),
        (2, {"at_least": 2, "at_most": 2}, True),
        (np.float32(2.5), {"at_most": 2}, False),
        (np.int64(3), {"at_least": 3}, True),
        (True, {"at_least": 1}, True),
        (np.bool_(False), {"at_least": 1}, False),
        (math.nan, {"at_least": 0}, False),
        (math.nan, {"at_most": 0}, False),
    ],
)
def test_the_end_nearest_to_the_bound_decides(estimate: Any, bounds: dict, holds: bool) -> None:
    if holds:
        claim("name", "It is so.", estimate, **bounds)
    else:
        with pytest.raises(ClaimError, match="It is so"):
            claim("name", "It is so.", estimate, **bounds)


@pytest.mark.parametrize(
    ("name", "sentence", "estimate", "given", "error", "words"),
    [
        ("a", "It is.", 1, {}, ValueError, "a claim needs at_least or at_most"),
        ("a", "It is.", 1, {"at_least": math.nan}, ValueError, "at_least must be a number"),
        ("a", "It is.", 1, {"at_least": 2, "at_most": 1}, ValueError, "is above at_most"),
        ("A b", "It is.", 1, {"at_least": 0}, ValueError, "name must be small letters"),
        ("", "It is.", 1, {"at_least": 0}, ValueError, "name must be small letters"),
        ("a", " ", 1, {"at_least": 0}, ValueError, "sentence must say something"),
        ("a", "It is.", 1, {"at_least": 0, "seeds": 0}, ValueError, "seeds must be at least one"),
        ("a", "It is.", 1, {"at_least": 0, "seeds": []}, ValueError, "seeds must be at least one"),
        ("a", "It is.", "1", {"at_least": 0}, TypeError, "must be an Estimate, number or bool"),
        ("a", "It is.", np.ones(3), {"at_least": 0}, TypeError, "not ndarray"),
        ("a", "It is.", between(1, 2), {"at_least": 0, "exact": True}, ValueError, "no interval"),
    ],
)
def test_what_is_no_claim_is_refused(
    name: str, sentence: str, estimate: Any, given: dict, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        claim(name, sentence, estimate, **given)


def test_a_cell_may_run_twice_but_a_name_says_one_thing() -> None:
    claim("lift", "Showing helps.", 0.2, at_least=0.1)
    claim("lift", "Showing helps.", 0.3, at_least=0.1)
    with pytest.raises(ValueError, match=r"lift: this name already claims 'Showing helps\.'"):
        claim("lift", "Showing hurts.", 0.2, at_least=0.1)


def test_a_claim_that_failed_has_not_taken_its_name() -> None:
    with pytest.raises(ClaimError):
        claim("lift", "Showing helps much.", 0.2, at_least=0.3)
    claim("lift", "Showing helps.", 0.2, at_least=0.1)


def test_a_claim_leaves_its_record_beside_what_is_shown(shown: list) -> None:
    estimate = mean_over_seeds([0.4, 0.5, 0.6])
    claim("gap", "The gap is <wide>.", estimate, at_least=0.1, at_most=0.9, seeds=range(3))
    (bundle, _), *rest = shown
    assert not rest
    record = bundle[claims.CLAIM]
    assert record["value"] == pytest.approx(0.5)
    assert record["lower"] == pytest.approx(0.5 - 4.302652729911275 * 0.1 / 3**0.5)
    assert (record["at_least"], record["at_most"], record["seeds"]) == (0.1, 0.9, 3)
    assert (record["target"], record["level"], record["exact"]) == ("stores", 0.95, False)
    assert record["bound"] == "0.1 to 0.9"
    assert 'id="claim-gap"' in bundle["text/html"]
    assert "The gap is &lt;wide&gt;." in bundle["text/html"]
    assert bundle["text/plain"].startswith("Claim: The gap is <wide>.")


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"at_least": 0.5}, "at least 0.5"),
        ({"at_most": 1e-12}, "at most 1e-12"),
        ({"at_least": 1, "at_most": 1}, "exactly 1"),
        ({"at_least": -0.005, "at_most": 2}, "-0.005 to 2"),
    ],
)
def test_a_bound_is_told_in_words(shown: list, bounds: dict, words: str) -> None:
    claim("a", "So.", max(bounds.values()) if "at_least" in bounds else 0.0, **bounds)
    assert shown[0][0][claims.CLAIM]["bound"] == words


@pytest.mark.parametrize(("estimate", "words"), [(True, "True"), (0.25, "0.25"), (7, "7")])
def test_an_exact_value_is_told_as_it_is(shown: list, estimate: Any, words: str) -> None:
    claim("a", "So.", estimate, at_least=0, exact=True)
    record = shown[0][0][claims.CLAIM]
    assert (record["shown"], record["exact"], record["seeds"]) == (words, True, None)


def test_a_data_note_says_what_it_shows_or_would_have_shown(shown: list) -> None:
    texts = {"concludes": "Ranks, not effects.", "would_show": "It would rank."}
    data_note("Retail", present=True, **texts)
    data_note("Retail", present=False, **texts)
    here, away = (bundle for bundle, _ in shown)
    assert here["text/plain"] == "Retail is here. Ranks, not effects."
    assert away["text/plain"] == "Retail is not here (RECFLAX_DATA_DIR). It would rank."
    assert away[claims.DATA] == {"name": "Retail", "present": False, **texts}
    with pytest.raises(ValueError, match="would_show must say something"):
        data_note("Retail", present=True, concludes="Ranks.", would_show="")


def test_resources_are_those_of_this_process(shown: list) -> None:
    resources()
    record = shown[0][0][claims.RESOURCES]
    assert 20e6 < record["peak_memory"] < 1e12
    assert record["processor_seconds"] > 0
    assert record["versions"]["numpy"] == np.__version__
    assert record["python"].startswith(f"3.{sys.version_info[1]}.")


def test_a_package_that_is_not_there_has_no_version(shown: list, monkeypatch) -> None:
    monkeypatch.setattr(claims, "_VERSIONS", ("numpy", "no-such-package"))
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    resources()
    record = shown[0][0][claims.RESOURCES]
    assert record["versions"] == {"numpy": np.__version__}
    assert record["devices"] == []  # nobody has imported jax


def test_memory_is_counted_in_bytes_and_never_falls() -> None:
    before = peak_memory()
    held = np.ones(30_000_000)  # 240 MB, touched
    after = peak_memory()
    assert held.nbytes == 240_000_000
    assert after >= max(before, 240_000_000)


def test_glue_gives_plain_numbers_by_name(shown: list, capsys: pytest.CaptureFixture) -> None:
    glue(lift=np.float32(0.5), people=np.int64(7), name="lamps", gap=between(0.3, 0.5))
    text = {meta["scrapbook"]["name"]: next(iter(b.values())) for b, meta in shown}
    assert text == {"lift": "0.5", "people": "7", "name": "'lamps'", "gap": "'.40 ± .10'"}
    prefixes = {meta["scrapbook"]["mime_prefix"] for _, meta in shown}
    assert {key for bundle, _ in shown for key in bundle} == {f"{prefixes.pop()}text/plain"}
    assert capsys.readouterr().out == "lift = 0.5, people = 7, name = 'lamps', gap = '.40 ± .10'\n"
    with pytest.raises(TypeError, match="rows must be a number, text or Estimate, not list"):
        glue(rows=[1])


def test_outside_a_notebook_a_claim_is_a_printed_line(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = SimpleNamespace(get_ipython=lambda: SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython", terminal)
    claim("a", "So.", 2, at_least=1)
    assert capsys.readouterr().out == "Claim: So. 2, at least 1\n"
