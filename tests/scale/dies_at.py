"""Run by test_processes.py: the program, and one process of it that is killed after a step.

``python dies_at.py PROCESS:STEP ...``, or ``nobody``, and the arguments of the program.
"""

import os
import signal
import sys

import jax

from recflax.scale.processes import main


def on_step(step: int, loss: float) -> None:
    """Die without a word, as when the machine is gone."""
    if f"{jax.process_index()}:{step}" == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[2:], on_step)
