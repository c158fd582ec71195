"""A ranking metric by rax, jitted, one person a row."""

import jax
import jax.numpy as jnp
import rax
from protocol import Turns

turns = Turns()
sizes = turns.settings
scores = turns.inputs["scores"]
labels = turns.inputs["relevant"].astype("float32")
metric = {
    "ndcg": rax.ndcg_metric,
    "mrr": rax.mrr_metric,
    "recall": rax.recall_metric,
    "precision": rax.precision_metric,
}[sizes["metric"]]


@jax.jit
def each(scores, labels):
    return metric(scores, labels, topn=sizes["k"], reduce_fn=None)


values = turns.take(lambda: each(jnp.asarray(scores), jnp.asarray(labels)).block_until_ready())
turns.finish({"rax": getattr(rax, "__version__", ""), "jax": jax.__version__}, values=values)
