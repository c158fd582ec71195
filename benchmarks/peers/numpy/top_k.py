"""The ten best of a catalogue in numpy: all scores, `argpartition`, and the ten sorted."""

import numpy as np
from protocol import Turns

turns = Turns()
people, items, k = turns.inputs["people"], turns.inputs["items"], turns.settings["k"]


def run():
    scores = people @ items.T
    places = np.argpartition(scores, -k, axis=1)[:, -k:]
    order = np.argsort(-np.take_along_axis(scores, places, axis=1), axis=1)
    return np.take_along_axis(places, order, axis=1)


ids = turns.take(run)
turns.finish({"numpy": np.__version__}, ids=ids + 1)
