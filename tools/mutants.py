"""Which deliberate breakage the tests miss: ``make mutants``.

Cosmic Ray breaks one place of a module at a time, in a copy of the tree, and the tests of that
module, examples included, are run: a mutant is killed if one of them fails. All mutants of
metrics, attention, scores and `recflax.causal` would take a day. So a sample is drawn by a seed,
and the share that is killed is printed with its interval, beside every one that survived.

Breakage that no program could survive is left out: shifting or matrix-multiplying numbers of
floating point, ``is`` in the place of ``==``, and what stands in annotations.
"""

import argparse
import json
import os
import random
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_item import MutationSpec, TestOutcome

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("recflax", "tests", "tools", "book/_ext", "book/tables", "pyproject.toml", "jobs")
TESTS = {
    "recflax/metrics.py": "tests/test_metrics.py tests/test_properties_metrics.py",
    "recflax/self_attention.py": "tests/test_self_attention.py tests/test_properties_masks.py "
    "tests/test_copy_a_module.py",
    "recflax/cross_attention.py": "tests/test_cross_attention.py tests/test_properties_masks.py "
    "tests/test_copy_a_module.py",
    "recflax/scoring.py": "tests/test_scoring.py tests/test_properties_masks.py "
    "tests/test_copy_a_module.py",
    **{
        f"recflax/causal/{name}.py": f"tests/causal/test_{name}.py tests/causal/test_properties.py"
        for name in (
            *("check_log", "effects", "logged", "policy_value", "power", "propensity"),
            *("sensitivity", "uplift"),
        )
    },
    "recflax/causal/slate_value.py": "tests/worlds/test_slates.py tests/causal/test_properties.py",
}
"""Each module, and the tests that are to notice."""

OPERATORS = {
    *("NumberReplacer", "AddNot", "ReplaceOrWithAnd", "ReplaceAndWithOr"),
    *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "RemoveDecorator", "ZeroIterationForLoop"),
    *("ReplaceContinueWithBreak", "ReplaceBreakWithContinue", "ExceptionReplacer"),
    *("ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_Delete_USub"),
    "ReplaceUnaryOperator_Delete_Invert",
    *(f"ReplaceBinaryOperator_{a}_{b}" for a, b in (("Add", "Sub"), ("Sub", "Add"))),
    *(f"ReplaceBinaryOperator_{a}_{b}" for a, b in (("Mul", "Div"), ("Div", "Mul"))),
    *(f"ReplaceBinaryOperator_{a}_{b}" for a, b in (("Pow", "Mul"), ("FloorDiv", "Mul"))),
    *(f"ReplaceBinaryOperator_{a}_{b}" for a, b in (("Mod", "Mul"), ("BitAnd", "BitOr"))),
    *(
        f"ReplaceComparisonOperator_{a}_{b}"
        for a, b in (
            *(("Lt", "LtE"), ("LtE", "Lt"), ("Gt", "GtE"), ("GtE", "Gt")),
            *(("Lt", "GtE"), ("LtE", "Gt"), ("Gt", "LtE"), ("GtE", "Lt")),
            *(("Eq", "NotEq"), ("NotEq", "Eq"), ("Is", "IsNot"), ("IsNot", "Is")),
        )
    ),
}


def mutants(module: str) -> Iterator[MutationSpec]:
    """Every mutant of a module, in the order in which Cosmic Ray finds them."""
    tree = get_ast_from_path(Path(module))
    for name in sorted(cosmic_ray.plugins.operator_names()):
        operator_class = cosmic_ray.plugins.get_operator(name)
        if name.removeprefix("core/") not in OPERATORS or operator_class.arguments():
            continue
        operator = operator_class()
        places = [place for node in ast_nodes(tree) for place in operator.mutation_positions(node)]
        for occurrence, (start, end) in enumerate(places):
            yield MutationSpec(
                module_path=module,
                operator_name=name,
                operator_args={},
                occurrence=occurrence,
                start_pos=start,
                end_pos=end,
                definition_name=None,
            )


def make_copies(home: Path, count: int) -> list[Path]:
    """Copies of what the tests need."""
    made = []
    for number in range(count):
        copy = home / str(number)
        for name in COPIED:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                unwanted = shutil.ignore_patterns("__pycache__", "live")
                shutil.copytree(ROOT / name, copy / name, ignore=unwanted)
            else:
                shutil.copy(ROOT / name, copy / name)
        made.append(copy)
    return made


def tried(copy: Path, python: str, specs: list[MutationSpec], limit: float) -> list[dict]:
    """Try mutants one after another in one copy; one line a mutant as it goes."""
    os.chdir(copy)
    os.environ |= {"PYTHONPATH": str(copy), "JAX_PLATFORMS": "cpu"}
    found = []
    for spec in specs:
        tests = TESTS[str(spec.module_path)]
        command = f"{shlex.quote(python)} -m pytest -x -q --no-header {spec.module_path} {tests}"
        result = mutate_and_test([spec], command, limit)
        line = {
            "module": str(spec.module_path),
            "operator": spec.operator_name.removeprefix("core/"),
            "line": spec.start_pos[0],
            "killed": result.test_outcome == TestOutcome.KILLED,
            "outcome": str(result.test_outcome),
            "diff": result.diff,
        }
        found.append(line)
        print(
            f"{'killed  ' if line['killed'] else 'SURVIVED'} {line['module']}:{line['line']} "
            f"{line['operator']}",
            flush=True,
        )
    return found


def wilson(killed: int, total: int) -> tuple[float, float]:
    """The 95% interval of a share, after Wilson (1927)."""
    z, share = 1.96, killed / total
    middle = share + z**2 / (2 * total)
    half = z * (share * (1 - share) / total + z**2 / (4 * total**2)) ** 0.5
    return (middle - half) / (1 + z**2 / total), (middle + half) / (1 + z**2 / total)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", default=str(ROOT / ".venv" / "bin" / "python"))
    parser.add_argument("--sample", type=int, default=300, help="how many mutants; 0 is all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", type=float, default=240.0, help="seconds for one mutant's tests")
    parser.add_argument("--only", nargs="+", default=list(TESTS), help="modules")
    parser.add_argument("--out", type=Path, help="where the results go, as JSON")
    options = parser.parse_args()
    os.chdir(ROOT)
    everything = [spec for module in options.only for spec in mutants(module)]
    drawn = list(everything)
    random.Random(options.seed).shuffle(drawn)
    if options.sample:
        drawn = drawn[: options.sample]
    print(f"{len(drawn)} of {len(everything)} mutants", flush=True)
    with tempfile.TemporaryDirectory() as home, ProcessPoolExecutor(options.workers) as pool:
        copies = make_copies(Path(home), options.workers)
        shares = [drawn[number :: options.workers] for number in range(options.workers)]
        works = [
            pool.submit(tried, copy, options.python, share, options.limit)
            for copy, share in zip(copies, shares, strict=True)
        ]
        found = [line for work in works for line in work.result()]
    killed = sum(line["killed"] for line in found)
    low, high = wilson(killed, len(found))
    print(f"{killed} of {len(found)} killed: {killed / len(found):.1%} ({low:.1%} to {high:.1%})")
    for line in found:
        if not line["killed"]:
            print(f"\n{line['outcome']} {line['module']}:{line['line']}\n{line['diff']}")
    if options.out:
        options.out.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
