"""recflax: attention recommenders, a shop whose causal truth is known, and means to compare them.

The package has three floors, and an import only ever goes down:

- *ground*: ``self_attention``, ``cross_attention`` and ``scoring`` (each can be copied alone),
  ``estimates``, ``losses``, ``metrics``, ``training``, ``claims``, ``data.logs``, ``data.batches``;
- *next*: ``recommender``, ``baselines``, ``evaluation``, the loaders and the simulated worlds;
- *top*: ``lessons`` and ``plots``.

Nothing is imported here, so that ``import recflax`` costs nothing.
"""

__version__ = "0.1.0"
