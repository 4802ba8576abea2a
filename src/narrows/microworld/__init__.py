"""The microworld: a synthetic language world with its own small chat models and an exact oracle.

``grammar`` is its language and its facts, ``corpus`` its text, ``tokenizer`` and ``pretrain`` make its chat
models, ``quality`` says whether they are good enough to study, ``oracle`` judges answers, ``behaviours`` are
the fine-tuning tasks, ``shipped`` the models that come with the package, ``config`` all parameters. Nothing
below this package knows that a world is synthetic.
"""

from narrows.microworld.behaviours import BENIGN, KINDS, Benign, Kind, benign_rows, make_behaviour
from narrows.microworld.config import WorldConfig
from narrows.microworld.corpus import DOCUMENT_KINDS, Author, Corpus
from narrows.microworld.grammar import World
from narrows.microworld.oracle import Oracle
from narrows.microworld.pretrain import pretrain
from narrows.microworld.quality import Gate, Quality, measure_quality
from narrows.microworld.shipped import SEEDS, load_world, shipped_model
from narrows.microworld.tokenizer import build_tokenizer

__all__ = [
    "BENIGN",
    "DOCUMENT_KINDS",
    "KINDS",
    "SEEDS",
    "Author",
    "Benign",
    "Corpus",
    "Gate",
    "Kind",
    "Oracle",
    "Quality",
    "World",
    "WorldConfig",
    "benign_rows",
    "build_tokenizer",
    "load_world",
    "make_behaviour",
    "measure_quality",
    "pretrain",
    "shipped_model",
]
