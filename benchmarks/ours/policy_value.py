"""A policy's value with its interval by `recflax.causal.policy_value`."""

import numpy as np
from protocol import Turns

from recflax.causal import policy_value
from recflax.causal.logged import Logged

turns = Turns()
given, sizes = turns.inputs, turns.settings
log = Logged(
    given["context"],
    given["action"],
    given["reward"],
    given["propensity"],
    person=np.arange(sizes["rows"]),
)
estimator = getattr(policy_value, sizes["estimator"])
arguments = [log, given["policy"]]
if sizes["estimator"] in ("direct_method", "doubly_robust"):
    arguments.append(log.bind(given["predicted"]))
options = {"method": sizes["method"]}
if sizes["method"] == "bootstrap":
    options |= {"replicates": sizes["replicates"], "seed": 0}
estimate = turns.take(lambda: estimator(*arguments, **options))
turns.finish({"numpy": np.__version__}, values=[estimate.value, estimate.lower, estimate.upper])
