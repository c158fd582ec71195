r"""Item texts as vectors: a bag of words, and TF-IDF, both of length 1.

A bag of words counts: entry :math:`c_{jw}` says how often word :math:`w` stands in the text of
item :math:`j`. TF-IDF weighs each count by how rare the word is among the M texts,

.. math:: x_{jw} = c_{jw} \left(\ln \frac{1 + M}{1 + \mathrm{df}_w} + 1\right),

with :math:`\mathrm{df}_w` the number of texts that hold the word (Sparck Jones 1972; the smoothed
form is scikit-learn's). Both are divided by their Euclidean length, so that the dot product of two
rows is the cosine of their angle. A text without words has no direction: its row is zero.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.preprocessing import normalize


def _texts(texts: Iterable[object]) -> list[str]:
    """Return the texts as a list, with "" for None and NaN."""
    if isinstance(texts, str):
        raise TypeError("texts must be a sequence of texts, not one str")
    column = pd.Series(list(texts), dtype=object)
    column = column.mask(column.isna(), "")
    strange = [row for row, text in enumerate(column) if not isinstance(text, str)]
    if strange:
        row = strange[0]
        raise TypeError(f"texts must hold str, None or NaN; row {row} has {column[row]!r}")
    return column.tolist()


def _vectorise(vectoriser: Any, texts: Iterable[object]) -> tuple[csr_matrix, np.ndarray]:
    """Return rows of length 1 (or zero) and the vocabulary, empty if no text has a word."""
    documents = _texts(texts)
    words = vectoriser.build_analyzer()
    if not any(words(document) for document in documents):
        return csr_matrix((len(documents), 0)), np.array([], dtype=object)
    counts = vectoriser.fit_transform(documents)
    return csr_matrix(normalize(counts, norm="l2")), vectoriser.get_feature_names_out()


def bag_of_words(texts: Iterable[object], *, min_texts: int = 1) -> tuple[csr_matrix, np.ndarray]:
    """Return the word counts of each text, every row of Euclidean length 1.

    Args:
        texts: M texts; empty ones, None and NaN give a zero row.
        min_texts: A word counts only if at least this many texts hold it.

    Returns:
        (M, W) sparse matrix, and the W words in alphabetical order. Words are lower case and have
        at least two letters or digits (scikit-learn's default).

    Raises:
        TypeError: Something that is neither a text, None nor NaN.
        ValueError: No word is in ``min_texts`` texts.

    Example:
        >>> matrix, words = bag_of_words(["red mug", None, "red red lamp"])
        >>> words.tolist()
        ['lamp', 'mug', 'red']
        >>> matrix.toarray().round(3)
        array([[0.   , 0.707, 0.707],
               [0.   , 0.   , 0.   ],
               [0.447, 0.   , 0.894]])
    """
    return _vectorise(CountVectorizer(min_df=min_texts, dtype=float), texts)


def tf_idf(texts: Iterable[object], *, min_texts: int = 1) -> tuple[csr_matrix, np.ndarray]:
    """Return TF-IDF weights of each text, every row of Euclidean length 1.

    Args, results and errors are those of `bag_of_words`.

    Example:
        >>> matrix, words = tf_idf(["red mug", None, "red lamp"])
        >>> bool(matrix[0, 1] > matrix[0, 2])  # "mug" is rarer than "red"
        True
    """
    return _vectorise(TfidfVectorizer(min_df=min_texts, norm=None), texts)
