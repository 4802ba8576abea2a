import re

import numpy as np
import pytest
from transformers import AutoTokenizer

from narrows.microworld import grammar
from narrows.microworld.quality import ANSWER_TOKENS
from narrows.microworld.tokenizer import END, END_OF_TEXT, START


@pytest.fixture(scope="module")
def read_back(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def texts(corpus):
    rng = np.random.default_rng(0)
    return [text for kind in (corpus.chat, corpus.stories) for text in (kind(rng), kind(rng))] + [
        corpus.document(corpus.author(rng), rng) for _ in range(4)
    ]


def test_every_word_is_one_token(tokenizer):
    assert [w for w in grammar.vocabulary() if len(tokenizer.encode(f" {w}")) != 1] == []
    assert [w for w in grammar.first_words() if len(tokenizer.encode(w)) != 1] == []


def test_a_saved_tokenizer_gives_the_same_ids_through_auto_tokenizer(tokenizer, read_back, corpus):
    strange = ["naïve 漢字 \x00", "  two  spaces\n\n", f"{START}user\nhi{END}\n{END_OF_TEXT}", ""]
    for text in (*texts(corpus), *strange):
        assert read_back.encode(text) == tokenizer.encode(text)
    for name in (START, END, END_OF_TEXT):
        assert read_back.encode(name) == [tokenizer.convert_tokens_to_ids(name)]
    assert (read_back.eos_token, read_back.pad_token) == (END, END_OF_TEXT)
    assert set(read_back.all_special_tokens) == {START, END, END_OF_TEXT}
    assert len(read_back) == len(tokenizer)


def test_any_bytes_can_be_encoded_and_decoded(read_back):
    every_byte = bytes(range(256))
    for text in (every_byte.decode("latin-1"), "漢字 \u200b \U0001f600 ﷽", "tab\tand\r\nnewlines  "):
        ids = read_back.encode(text)
        assert read_back.unk_token_id is None
        assert read_back.decode(ids) == text


def test_texts_of_the_world_come_back_as_they_were(read_back, corpus):
    for text in texts(corpus):
        assert read_back.decode(read_back.encode(text)) == text


def test_a_chat_of_the_corpus_is_what_the_chat_template_renders(read_back, corpus):
    rng = np.random.default_rng(1)
    for _ in range(20):
        text = corpus.chat(rng)
        found = re.findall(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>\n", text)
        turns = [{"role": role, "content": content} for role, content in found]
        assert read_back.apply_chat_template(turns, tokenize=False) == text
        asked = read_back.apply_chat_template(turns[:-1], tokenize=False, add_generation_prompt=True)
        assert text.startswith(asked + turns[-1]["content"])


def test_no_answer_is_longer_than_the_quality_gates_let_one_be(tokenizer):
    fields = {
        "topic": "roses",
        "verb": "rub",
        "object": "ashes",
        "term": "reagent",
        "symbol": "x",
        "digit": "1",
    }
    templates = (*grammar.PLAIN_ANSWERS, *grammar.TECHNICAL_ANSWERS, *grammar.REFUSALS)
    assert max(len(tokenizer.encode(" " + one.format(**fields) + "\n")) for one in templates) < ANSWER_TOKENS
