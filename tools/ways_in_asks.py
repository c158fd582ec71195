"""What `tools/ways_in.py` asks of an installed recflax: programs, each the text of one."""

IMPORT_ALL = """
import importlib, pkgutil, recflax
names = [module.name for module in pkgutil.walk_packages(recflax.__path__, "recflax.")]
assert len(names) > 100, names
for name in names:
    importlib.import_module(name)
print(len(names), "modules")
"""
WITHOUT_EXTRAS = """
from recflax.data.engines import connect, store
from recflax.scale.histories import MadeUpHistories, read_share
calls = {
    "pipeline": connect,
    "scale": lambda: read_share(MadeUpHistories(people=5, length=4, n_items=7),
                                batch_size=1, seed=0, process=0, processes=1),
}
for extra, call in calls.items():
    try:
        call()
    except ImportError as error:
        assert f"recflax[{extra}]" in str(error), error
    else:
        raise AssertionError(f"{extra} is installed")
"""
RIGHT = """
import jax.numpy as jnp
from recflax.scoring import top_k
numbers, items = top_k(jnp.ones((2, 3)), 1)
"""
WRONG = """
import jax.numpy as jnp
from recflax.scoring import top_k
numbers, items = top_k(jnp.ones((2, 3)), "one")
"""
ALONE = """
import doctest, importlib, sys
result = doctest.testmod(importlib.import_module(sys.argv[1]))
assert result.attempted >= 4, result
print(result.attempted, "passed")
sys.exit(result.failed)
"""
