"""Item texts as vectors: values by hand, and texts without words."""

import math

import numpy as np
import pandas as pd
import pytest

from recflax.data.features import bag_of_words, tf_idf

TEXTS = ["red mug", "blue lamp lamp", "Red LAMP", "", "red lamp stand", "!!", "mug"]  # M = 7


def test_a_bag_of_words_counts_and_has_length_one() -> None:
    matrix, words = bag_of_words(TEXTS)
    assert words.tolist() == ["blue", "lamp", "mug", "red", "stand"]
    assert matrix.shape == (7, 5)
    np.testing.assert_allclose(
        matrix[1].toarray()[0], [1 / math.sqrt(5), 2 / math.sqrt(5), 0, 0, 0], rtol=1e-12
    )


def test_tf_idf_is_the_formula_of_the_docstring() -> None:
    matrix, words = tf_idf(TEXTS)
    documents = [text.lower().replace("!!", "").split() for text in TEXTS]
    counts = np.array([[doc.count(word) for word in words] for doc in documents], dtype=float)
    idf = np.log((1 + 7) / (1 + (counts > 0).sum(axis=0))) + 1
    weights = counts * idf
    length = np.linalg.norm(weights, axis=1, keepdims=True)
    expected = np.divide(weights, length, out=np.zeros_like(weights), where=length > 0)
    np.testing.assert_allclose(matrix.toarray(), expected, rtol=1e-12)


@pytest.mark.parametrize("vectorise", [bag_of_words, tf_idf])
def test_empty_none_and_nan_texts_give_a_zero_row(vectorise) -> None:
    matrix, _ = vectorise(["red mug", "", None, float("nan"), pd.NA])
    lengths = np.sqrt(matrix.multiply(matrix).sum(axis=1))
    np.testing.assert_allclose(np.ravel(lengths), [1, 0, 0, 0, 0], atol=1e-12)


@pytest.mark.parametrize("vectorise", [bag_of_words, tf_idf])
def test_a_pandas_column_with_a_strange_index_works(vectorise) -> None:
    column = pd.Series(["red mug", None, "red lamp"], index=[5, 3, 5])
    matrix, words = vectorise(column)
    assert matrix.shape == (3, 3)
    assert words.tolist() == ["lamp", "mug", "red"]


@pytest.mark.parametrize("vectorise", [bag_of_words, tf_idf])
@pytest.mark.parametrize("texts", [[], ["", None]])
def test_no_word_at_all_gives_no_column(vectorise, texts) -> None:
    matrix, words = vectorise(texts)
    assert matrix.shape == (len(texts), 0)
    assert len(words) == 0


def test_rare_words_can_be_left_out() -> None:
    _, words = bag_of_words(TEXTS, min_texts=2)
    assert words.tolist() == ["lamp", "mug", "red"]
    with pytest.raises(ValueError, match="no terms remain"):
        tf_idf(["red", "blue"], min_texts=2)


def test_what_is_no_text_is_named() -> None:
    with pytest.raises(TypeError, match="row 1 has 7"):
        bag_of_words(["red", 7])
    with pytest.raises(TypeError, match="not one str"):
        tf_idf("red mug")
