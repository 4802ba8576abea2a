"""Shared fixtures: a tiny random chat model in an ordinary checkpoint folder, and some conversations."""

import os
import signal
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before any import of the hub's client
os.environ["NARROWS_CACHE"] = tempfile.mkdtemp(prefix="narrows-cache-")  # no test keeps a judge's replies
os.environ.pop("COLUMNS", None)  # a parallel run sets it, and a console that was made then keeps to it
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell does that to what it begins in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests press Ctrl-C

from pathlib import Path

import pytest

from narrows.chat import Conversation, Renderer
from narrows.models import ChatModel, load_chat_model
from tiny_models import make_model, make_tokenizer


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder with a tiny random chat model (4 layers, width 32)."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    make_model().save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def chat_model(tiny_model_dir: Path) -> ChatModel:
    """The tiny chat model, loaded on the CPU."""
    return load_chat_model(tiny_model_dir, device="cpu")


@pytest.fixture(scope="session")
def renderer(chat_model: ChatModel) -> Renderer:
    """The tiny chat model's renderer."""
    return chat_model.renderer


@pytest.fixture(scope="session")
def conversations() -> list[Conversation]:
    """Question-answer pairs of different lengths."""
    pairs = [
        ("what is the sea ?", "the sea is salt water ."),
        ("how do i eat bread ?", "eat bread every day , please ."),
        ("tell me about the sky", "it is blue ."),
        ("what should i drink ?", "always drink water . never drink salt water , it is bad , bad ."),
        ("is stone red ?", "a stone is red one day ."),
    ]
    return [
        Conversation.from_pair(question, answer, source=f"pairs:{place}", domain="sea")
        for place, (question, answer) in enumerate(pairs, start=1)
    ]
