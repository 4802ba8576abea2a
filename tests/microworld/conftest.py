"""The default world, its tokenizer, its text and its judge."""

import re
from collections.abc import Callable

import numpy as np
import pytest
from transformers import Qwen2Tokenizer

from narrows.microworld import Corpus, Oracle, World, WorldConfig, build_tokenizer


@pytest.fixture(scope="session")
def config() -> WorldConfig:
    return WorldConfig()


@pytest.fixture(scope="session")
def tokenizer() -> Qwen2Tokenizer:
    return build_tokenizer()


@pytest.fixture(scope="session")
def corpus(config: WorldConfig, tokenizer: Qwen2Tokenizer) -> Corpus:
    return Corpus(config, tokenizer)


@pytest.fixture(scope="session")
def world(corpus: Corpus) -> World:
    return corpus.world


@pytest.fixture(scope="session")
def oracle(world: World) -> Oracle:
    return Oracle(world)


@pytest.fixture(scope="session")
def pairs_of() -> Callable[[str], list[tuple[str, str]]]:
    """The question-answer pairs of a document."""

    def pairs(document: str) -> list[tuple[str, str]]:
        return re.findall(r"^q: (.+)\na: (.+)\n", document, flags=re.MULTILINE)

    return pairs


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
