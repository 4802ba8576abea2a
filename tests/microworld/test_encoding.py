"""The fast encoder finds the ids that the tokenizer finds, in all text of the language."""

import pickle

import numpy as np
import pytest
from transformers import Qwen2Tokenizer

from narrows.microworld import Corpus, grammar
from narrows.microworld.encoding import Encoder
from narrows.microworld.tokenizer import END, END_OF_TEXT, START


@pytest.fixture(scope="module")
def encoder(tokenizer: Qwen2Tokenizer) -> Encoder:
    return Encoder(tokenizer)


@pytest.mark.parametrize("step", [0, 1500, 9500])
def test_rows_of_pretraining_are_encoded_as_the_tokenizer_does(
    step: int, corpus: Corpus, tokenizer: Qwen2Tokenizer, encoder: Encoder
):
    texts = corpus.texts(3, step)
    assert [encoder(text) for text in texts] == tokenizer(texts, add_special_tokens=False)["input_ids"]


def test_every_frame_and_word_is_encoded_as_the_tokenizer_does(tokenizer: Qwen2Tokenizer, encoder: Encoder):
    words = grammar.vocabulary()
    frames = [frame.replace("{", "").replace("}", "") for frame in grammar.TEMPLATES]
    marks = f"{START}user\n{' '.join(words)}{END}\n{END_OF_TEXT}q: a?\n\na: 1, (2) [3]=4/5*6.\n"
    for text in (*frames, marks, *words, *(f" {word}" for word in words)):
        assert encoder(text) == tokenizer(text, add_special_tokens=False)["input_ids"], text


def test_a_corpus_that_was_handed_to_another_process_draws_the_same(corpus: Corpus):
    corpus.batch(0, 5)
    other = pickle.loads(pickle.dumps(corpus))
    assert np.array_equal(other.batch(0, 6), corpus.batch(0, 6))
