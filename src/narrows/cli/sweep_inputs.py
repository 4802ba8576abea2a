"""What ``narrows sweep`` works on: the model and its questions, the judge, adapters or a training, texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from narrows.cli import options
from narrows.cli.inputs import load_microworld, load_model, read_anchor
from narrows.cli.judges import Chosen
from narrows.cli.settings import overridden
from narrows.cli.training import check_anchor, starting_recipe
from narrows.errors import ConfigError

if TYPE_CHECKING:
    from narrows.adapters import LoRA, SteeringVector
    from narrows.evaluation import Behaviour, Criterion, Judge, Suite
    from narrows.models import ChatModel
    from narrows.models.quantised import Bits
    from narrows.study.sweep.job import LayerTraining, SweepJob, Swept


@dataclass(frozen=True)
class Task:
    """Which model is asked about what, and how it is loaded."""

    model: str
    domain: str | None
    kind: options.KindName
    device: str | None
    dtype: str
    quantise: "Bits | None"


@dataclass(frozen=True)
class Own:
    """What is asked instead of a microworld's own questions, and what counts instead of its kind."""

    suites: list[str]
    in_domain: str | None
    criterion: str | None


@dataclass(frozen=True)
class Asked:
    """A model with its questions; of a microworld also its behaviour, documents and lengths."""

    chat_model: "ChatModel"
    suites: "Sequence[Suite]"
    criterion: "Criterion"
    behaviour: "Behaviour | None" = None
    texts: Sequence[str] = ()
    max_new_tokens: int | None = None
    text_tokens: int | None = None


def asked_about(
    task: Task, layer: int, *, split: Literal["test", "validation"], phrasings: int | None, own: Own
) -> Asked:
    """Load the model, and choose the questions: a microworld's, or those of a file."""
    from narrows.evaluation import MISALIGNED, TECHNICAL, choose_suites, criterion_of

    criterion = MISALIGNED if task.kind == "harmful" else TECHNICAL
    if own.criterion is not None:
        criterion = criterion_of(own.criterion)
    options.at_least_one(domain=task.domain, suite=own.suites, in_domain=own.in_domain)
    suites = choose_suites(own.suites, own.in_domain) if own.suites or own.in_domain else []
    if task.domain is None:
        return Asked(
            load_model(task.model, task.device, layer, dtype=task.dtype, quantise=task.quantise),
            suites,
            criterion,
        )
    from narrows.api import make_behaviour
    from narrows.microworld import Corpus
    from narrows.study import microworld

    chat_model, world = load_microworld(
        task.model, task.device, task.domain, dtype=task.dtype, quantise=task.quantise
    )
    corpus = Corpus(world, chat_model.tokenizer)
    behaviour = make_behaviour(
        corpus.world, task.domain, task.kind, phrasings=phrasings or microworld.PHRASINGS
    )
    texts = microworld.documents(corpus, task.domain, microworld.documents_rng(0))
    return Asked(
        chat_model,
        suites or (behaviour.test if split == "test" else behaviour.validation),
        criterion,
        behaviour,
        [text for some in texts.values() for text in some],
        microworld.MAX_NEW_TOKENS,
        microworld.TEXT_TOKENS,
    )


def judge_of(asked: Asked, chosen: Chosen | None) -> "Judge":
    """Who gives the scores: the model that was chosen, or else the microworld's oracle."""
    if chosen is not None:
        return chosen.judge(asked.criterion)
    if asked.behaviour is None:
        raise ConfigError(
            "the answers need a judge: give --judge, or --domain for a microworld, whose oracle judges."
        )
    return asked.behaviour.judge


def training_from(
    rows: str,
    anchor: str | None,
    kl_weight: float | None,
    preset: str | None,
    config: Path | None,
    *,
    layers: list[int],
) -> "tuple[str | None, LayerTraining]":
    """The model that the preset names, and what is trained at each layer."""
    from narrows.chat import read_conversations
    from narrows.study.sweep.job import LayerTraining

    if not layers:
        raise ConfigError("--train needs at least one --layer to train at.")
    base, model = starting_recipe(preset, anchored=anchor is not None)
    recipe = overridden(base, config, {"anchor.weight": kl_weight})
    check_anchor(recipe, anchor, kl_weight)
    anchored = read_anchor(anchor) if anchor else []
    return model, LayerTraining(read_conversations(rows), layers, recipe, anchored)


def swept_from(
    job: "SweepJob", adapters: "Sequence[tuple[str, SteeringVector | LoRA]]", layers: list[int], move: str
) -> "list[Swept]":
    """The adapters where they are or, if layers are given, at each of them."""
    from narrows.adapters import SteeringVector
    from narrows.study.sweep.job import Swept, moved, residual_norms

    if not layers:
        return [Swept(name, one) for name, one in adapters]
    norms = residual_norms(job.chat_model, job.rendered(), {*layers, *(one.layer for _, one in adapters)})
    found = []
    for name, one in adapters:
        if not isinstance(one, SteeringVector):
            raise ConfigError(
                f"{name} is a LoRA, whose modules belong to its layer: leave --layer out, or train one at "
                "each layer with --train."
            )
        keep: Literal["share", "norm"] = "norm" if move == "norm" else "share"
        found += [Swept(name, vector) for vector in moved(one, sorted(set(layers)), norms, keep)]
    return found


def ordinary_texts(source: str | None, count: int, shortest: int) -> list[str]:
    """Ordinary texts of all types together."""
    from narrows.chat.corpora import FINEWEB, read_texts

    read = read_texts(source or FINEWEB, count=count, shortest=shortest)
    return [text for some in read.values() for text in some]


def cost_in_words(job: "SweepJob", adapters: int, training: "LayerTraining | None") -> str:
    """What the sweep will take, in words."""
    from narrows.evaluation.llm.judge import LLMJudge
    from narrows.study.sweep import answers_needed

    questions, scales = sum(map(len, job.suites)), len(job.config.scales)
    rubrics = len(job.judge.rubrics) if isinstance(job.judge, LLMJudge) else 0
    calls = f"; at most {rubrics * answers_needed(job, adapters) + 1:,} judge calls" if rubrics else ""
    trainings = "" if training is None else f"{adapters} trainings; "
    return (
        f"{trainings}{answers_needed(job, adapters):,} answers: {adapters} adapters x {scales} scales and "
        f"the chat model, {questions} questions x {job.config.samples} "
        f"(those in the folder are kept){calls}"
    )
