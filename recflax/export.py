"""Weights as text: one JSON that a page without a server can read, and that JAX reads back.

Every array is little-endian float32 in base64, beside its shape. A page needs nothing but `atob`
and a `Float32Array`.
"""

import base64
import json
from typing import Any

import jax
import numpy as np


def weights_to_json(params: Any, **about: Any) -> str:
    """The arrays of a pytree as JSON.

    Args:
        params: a pytree of float arrays, such as the second part of ``nnx.split(network)``.
        **about: what else the reader needs (sizes, names), as JSON can hold it; under ``about``.

    Raises:
        ValueError: an array is not of floats, or holds NaN or infinity; it is named.

    Example:
        >>> text = weights_to_json({"bias": np.array([1.0, -2.0])}, items=2)
        >>> json.loads(text)["about"], json.loads(text)["arrays"]["['bias']"]["shape"]
        ({'items': 2}, [2])
    """
    arrays = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name, array = jax.tree_util.keystr(path), np.asarray(leaf)
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise ValueError(f"params must hold finite floats; {name} does not")
        data = base64.b64encode(np.ascontiguousarray(array, dtype="<f4").tobytes()).decode()
        arrays[name] = {"shape": list(array.shape), "float32": data}
    return json.dumps({"about": about, "arrays": arrays})


def json_script(text: str, attribute: str) -> str:
    """JSON as an element that a page's script reads, and that nothing in the text can end.

    Args:
        text: the JSON.
        attribute: what the script finds it by, such as ``'id="numbers"'``.

    Example:
        >>> page = json_script('["a </b> c"]', 'id="numbers"')
        >>> page.count("</")  # the element's own end: no text can end it
        1
    """
    safe = text.replace("<", "\\u003c")
    return f'<script type="application/json" {attribute}>{safe}</script>'


def weights_from_json(text: str, like: Any) -> Any:
    """Read back what `weights_to_json` wrote.

    Args:
        text: the JSON.
        like: a pytree with the same names and shapes.

    Raises:
        ValueError: an array is missing, there is one too many, or a shape differs; it is named.

    Example:
        >>> params = {"bias": np.array([1.0, -2.0], np.float32)}
        >>> weights_from_json(weights_to_json(params), like=params)["bias"].tolist()
        [1.0, -2.0]
    """
    arrays = json.loads(text)["arrays"]
    paths, tree = jax.tree_util.tree_flatten_with_path(like)
    names = [jax.tree_util.keystr(path) for path, _ in paths]
    apart = sorted(set(names) ^ set(arrays))
    if apart:
        raise ValueError(f"text and like must hold the same arrays; {apart[0]} is in one only")
    leaves = []
    for name, (_, leaf) in zip(names, paths, strict=True):
        shape = tuple(arrays[name]["shape"])
        if shape != np.shape(leaf):
            raise ValueError(f"{name} has shape {shape} in text and {np.shape(leaf)} in like")
        data = base64.b64decode(arrays[name]["float32"])
        leaves.append(np.frombuffer(data, dtype="<f4").reshape(shape).astype(np.float32))
    return jax.tree_util.tree_unflatten(tree, leaves)
