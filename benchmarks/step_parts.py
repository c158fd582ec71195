"""Where a training step's time goes, and what fetching its memory anew adds.

``python benchmarks/step_parts.py`` compiles one step of the SASRec and of the repaired network of
`cases`, times it, sums a trace of it by kind of operation, does so once more in a process whose
memory comes in large pages (``GLIBC_TUNABLES=glibc.malloc.hugetlb=1``; Linux), and writes
``book/tables/step_parts.json``. For each network:

- ``seconds``, ``seconds_large_pages``: of a step, called alone, the median of 20;
- ``products``, ``sums``, ``moves``: shares of the operations' time that go into products of
  matrices, into sums and maxima, and into transposing, copying, gathering and filling;
- ``products_gflops``: operations of the products by the time they take within the step;
- ``width``: D; ``alone_gflops``: the rate of one product of a projection's shape, by itself.

Shares and rates within the step are those with large pages. Operations may overlap, so that a rate
within the step is at least what is written. Nothing here is a test.
"""

import gzip
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(1, str(Path(__file__).resolve().parent / "ours"))

import cases
import inputs
import jax
import jax.numpy as jnp
import optax
from flax import nnx
from networks import batch_of, build
from race import environment

from recflax.fitted import NetworkLoss
from recflax.inspect_model import record_trace
from recflax.lessons.attention_cost import timed
from recflax.lessons.tables import machine
from recflax.optimiser import TrainConfig, make_optimiser

ROOT = Path(__file__).resolve().parents[1]
NETWORKS = ("sasrec", "repaired")
REPEATS = 20
KINDS = {
    "products": ("dot_general",),
    "sums": ("reduce_sum", "reduce_max", "argmax"),
    "moves": ("transpose", "copy", "gather", "scatter", "scatter-add", "broadcast_in_dim"),
}
"""Kinds of operation, by the last word of the name that JAX gave to them."""
LARGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def step(name: str):
    """A compiled step of a network, and what it is called with."""
    sizes = cases.NETWORKS[name] | {"network": name}
    arrays = inputs.training(sizes | {"examples": sizes["batch"]})
    network, loss = build(sizes)
    graphdef, params = nnx.split(network, nnx.Param)
    loss_fn = NetworkLoss(graphdef, loss)
    data = jax.tree.map(jnp.asarray, batch_of(sizes, arrays["history"], arrays["target"]))
    config = TrainConfig(learning_rate=1e-3, weight_decay=0.0, warmup_steps=0, schedule="constant")
    optimiser = make_optimiser(config, REPEATS)

    def function(params, state, data, key):
        value, gradients = jax.value_and_grad(loss_fn)(params, data, key)
        updates, state = optimiser.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, value

    arguments = params, optimiser.init(params), data, jax.random.key(0)
    return jax.jit(function).lower(*arguments).compile(), arguments, cases.products(sizes)


def seconds_by_kind(compiled, arguments, calls: int = 5) -> Counter:
    """Seconds of one call by the last word of JAX's name for each operation."""
    lines = compiled.as_text().splitlines()
    named = (re.search(r'%?([\w.-]+) = .*op_name="([^"]*)"', line) for line in lines)
    last_words = {match[1]: match[2].rpartition("/")[2] for match in named if match}
    with tempfile.TemporaryDirectory() as folder:
        trace = record_trace(folder, compiled, *arguments, calls=calls)
        with gzip.open(trace, "rt", encoding="utf-8") as stream:
            events = json.load(stream)["traceEvents"]
    found: Counter = Counter()
    for event in events:
        if event.get("ph") == "X" and "hlo_op" in event.get("args", {}):
            operation = event["args"]["hlo_op"]
            kind = last_words.get(operation, operation.partition(".")[0])
            # a product whose result is transposed has the transpose's name
            if operation.startswith("dot"):
                kind = "dot_general"
            found[kind] += event["dur"] / 1e6 / calls
    return found


def alone_gflops(rows: int, width: int) -> float:
    """The rate of one product of a projection's shape."""
    a, b = (jnp.ones(shape, jnp.float32) for shape in ((rows, width), (width, width)))
    return 2e-9 * rows * width**2 / median(timed(partial(jax.jit(jnp.matmul), a, b), REPEATS))


def measured() -> dict[str, dict[str, float]]:
    """What this process finds, for each network."""
    found = {}
    for name in NETWORKS:
        compiled, arguments, operations = step(name)
        own = {"seconds": median(timed(partial(compiled, *arguments), REPEATS))}
        kinds = seconds_by_kind(compiled, arguments)
        total = kinds.total()
        for kind, words in KINDS.items():
            own[kind] = sum(kinds[word] for word in words) / total
        own["products_gflops"] = operations / 1e9 / (own["products"] * total)
        sizes = cases.NETWORKS[name]
        own["width"] = sizes["width"]
        own["alone_gflops"] = alone_gflops(sizes["batch"] * sizes["length"], sizes["width"])
        found[name] = own
    return found


def main() -> None:
    """Measure in two processes, and write."""
    if "--here" in sys.argv:
        print(json.dumps(measured()))
        return
    common = environment()
    common.pop("GLIBC_TUNABLES", None)
    plain, large = (
        json.loads(
            subprocess.run(
                [sys.executable, __file__, "--here"],
                env=common | extra,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            ).stdout.splitlines()[-1]
        )
        for extra in ({}, LARGE_PAGES)
    )
    networks = {
        name: large[name]
        | {"seconds": plain[name]["seconds"], "seconds_large_pages": large[name]["seconds"]}
        for name in NETWORKS
    }
    found = {"machine": machine(), "jax": jax.__version__, "networks": networks}
    print(json.dumps(found, indent=1))
    target = ROOT / "book" / "tables" / "step_parts.json"
    target.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
