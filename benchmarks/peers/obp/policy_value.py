"""A policy's value with its bootstrapped interval by Open Bandit Pipeline's estimators."""

import numpy as np
import obp
from obp.ope import (
    DirectMethod,
    DoublyRobust,
    InverseProbabilityWeighting,
    SelfNormalizedInverseProbabilityWeighting,
)
from protocol import Turns

turns = Turns()
given, sizes = turns.inputs, turns.settings
context = given["context"]
estimator = {
    "ips": InverseProbabilityWeighting,
    "snips": SelfNormalizedInverseProbabilityWeighting,
    "direct_method": DirectMethod,
    "doubly_robust": DoublyRobust,
}[sizes["estimator"]]()
log = {
    "reward": given["reward"],
    "action": given["action"],
    "pscore": given["propensity"],
    "position": np.zeros(len(context), dtype=int),
    "action_dist": given["policy"][context][:, :, None],  # (n, A, 1), as it wants the policy
    "estimated_rewards_by_reg_model": given["predicted"][context][:, :, None],
}
if sizes["estimator"] in ("ips", "snips"):
    del log["estimated_rewards_by_reg_model"]


def run():
    value = estimator.estimate_policy_value(**log)
    interval = estimator.estimate_interval(
        **log, alpha=0.05, n_bootstrap_samples=sizes["replicates"], random_state=0
    )
    return value, interval


value, interval = turns.take(run)
ends = [interval["95.0% CI (lower)"], interval["95.0% CI (upper)"]]
turns.finish({"obp": obp.__version__}, values=[value, *ends])
