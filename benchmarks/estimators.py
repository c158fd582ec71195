"""Seconds and memory of the policy-value estimators at a hundred thousand to ten million rows.

``python benchmarks/estimators.py`` prints a table, and the same as JSON on its last line. Both
grow linearly when seconds per million rows and bytes per row stay what they are from size to size.
Memory is the peak of what is allocated during the call, beside the log, the policy and the
predictions themselves. Eight rows a person, fifty actions, a context for every hundred rows.
"""

import argparse
import json
import time
import tracemalloc
from dataclasses import replace

import numpy as np

from recflax.causal import policy_value as pv
from recflax.causal.logged import Logged
from recflax.causal.propensity import overlap

SIZES = (100_000, 1_000_000, 10_000_000)
ACTIONS, ROWS_PER_PERSON, ROWS_PER_CONTEXT = 50, 8, 100


def draw(n):
    """A log of n rows, a policy and predictions, drawn column by column."""
    rng = np.random.default_rng(0)
    contexts = n // ROWS_PER_CONTEXT
    log = Logged(
        rng.integers(contexts, size=n),
        rng.integers(ACTIONS, size=n),
        (rng.random(n) < 0.1).astype(float),
        rng.uniform(0.005, 0.2, n),
        person=np.arange(n) // ROWS_PER_PERSON,
    )
    policy = rng.random((contexts, ACTIONS))
    policy /= policy.sum(axis=1, keepdims=True)
    return log, policy, rng.random((contexts, ACTIONS))


def estimators(log, policy, predicted):
    """Name to a call without arguments."""
    bound = log.bind(predicted)
    return {
        "log and predictions, checked": lambda: replace(log).bind(predicted),
        "ips": lambda: pv.ips(log, policy),
        "snips": lambda: pv.snips(log, policy),
        "clipped_ips": lambda: pv.clipped_ips(log, policy, 10.0),
        "direct_method": lambda: pv.direct_method(log, policy, bound),
        "doubly_robust": lambda: pv.doubly_robust(log, policy, bound),
        "switch_dr": lambda: pv.switch_dr(log, policy, bound, 10.0),
        "overlap": lambda: overlap(log, policy),
    }


def measure(call, repeats):
    """Median seconds of a call, and the peak of what it allocates, in bytes, in a call of its own.

    Tracing slows a call down, so the call that is traced is not timed.
    """
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return float(np.median(seconds)), peak


def main():
    """Measure every estimator at every size and print both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    found = {}
    for n in options.sizes:
        for name, call in estimators(*draw(n)).items():
            found.setdefault(name, {})[n] = measure(call, options.repeats)
    print("| estimator | " + " | ".join(f"{n:,} rows" for n in options.sizes) + " |")
    print("|---" * (1 + len(options.sizes)) + "|")
    for name, sizes in found.items():
        cells = [
            f"{seconds:.3f} s ({1e6 * seconds / n:.2f} s a million), "
            f"{peak / 1e6:.0f} MB ({peak / n:.0f} B a row)"
            for n, (seconds, peak) in sizes.items()
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
