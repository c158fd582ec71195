"""A ranking metric by `recflax.metrics`, ties and checks included."""

import numpy as np
from protocol import Turns

from recflax import metrics

turns = Turns()
scores, relevant, sizes = turns.inputs["scores"], turns.inputs["relevant"], turns.settings
name = "mrr" if sizes["metric"] == "mrr" else f"{sizes['metric']}_at_k"
metric = getattr(metrics, name)
values = turns.take(lambda: metric(scores, relevant, sizes["k"]))
turns.finish({"numpy": np.__version__}, values=values)
