"""``narrows direction personas``: persona vectors from contrastive system turns."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from narrows.cli import judges, options
from narrows.cli.direction import choosing
from narrows.cli.inputs import load_microworld, load_model
from narrows.cli.running import say, working
from narrows.errors import ConfigError

if TYPE_CHECKING:
    from narrows.evaluation import Answer, Criterion, Judge, Suite
    from narrows.geometry.extraction import Persona
    from narrows.models import ChatModel

PHRASINGS = 2
"""Of the microworld's questions: its topics are many."""


def personas(
    *,
    model: options.Model,
    out: choosing.Out,
    persona: Annotated[
        Path | None,
        typer.Option(
            "--persona", help="YAML with name, positive and negative: lists of system turns.", metavar="FILE"
        ),
    ] = None,
    suite: options.Suites = None,
    domain: Annotated[
        str | None,
        typer.Option(
            "--domain",
            help="A microworld's domain: its validation questions, its own system turns and its oracle.",
            metavar="DOMAIN",
        ),
    ] = None,
    kind: options.Kind = "harmful",
    samples: Annotated[int, typer.Option(help="Answers to each question under each turn.", min=1)] = 1,
    max_new_tokens: Annotated[int, typer.Option(help="Tokens of an answer.", min=1)] = 600,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token each time.")] = 1.0,
    reread: Annotated[
        Literal["without", "with"],
        typer.Option(
            "--reread",
            help="Read the answers again without the system turn (what was done, and where the direction is "
            "used), or with it (as published; what was asked is in it too).",
        ),
    ] = "without",
    criterion: Annotated[
        str,
        typer.Option(help="What shows the trait, if there is a judge.", metavar="CRITERION"),
    ] = "misaligned",
    judge: judges.MaybeModel = None,
    rubrics: judges.Rubrics = None,
    url: judges.Url = None,
    arg: judges.Arg = None,
    max_judge_calls: judges.MaxCalls = None,
    method: choosing.Method = "mean-difference",
    at: choosing.At = None,
    layer: choosing.Layer = "auto",
    held_out: choosing.HeldOut = 0.5,
    batch_size: choosing.BatchSize = 16,
    seed: choosing.Seed = 0,
    device: options.Device = None,
    dtype: options.Dtype = "auto",
    quantise: options.Quantise = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find the direction of a trait that system turns ask for (persona vectors, Chen et al. 2025).

    Every question is answered under every system turn. With a judge (or a microworld's oracle) only answers
    that are what was asked for count. Then the model reads them again, and the difference of the two sides is
    the direction, at every layer; the layer is chosen as in `narrows direction extract`. Answers are kept:
    killed and started again, it goes on where it was.

    Example: `narrows direction personas --model microworld:1 --domain sport --out runs/persona`
    """
    options.at_least_one(persona=persona, domain=domain)
    options.only_one(suite=suite, domain=domain)
    options.only_one(judge=judge, domain=domain)
    if domain is None and not suite:
        raise ConfigError(
            "give --suite: what the personas are asked (`narrows suites` lists the shipped ones)."
        )
    asks = judges.chosen(judge, rubrics=rubrics, url=url, args=arg, max_calls=max_judge_calls)
    wanted, positions = choosing.layer_of(layer), choosing.positions_of(at)
    with working(quiet, keeps=out):
        from narrows.evaluation import choose_suites, criterion_of
        from narrows.files import claim_run_folder, digest
        from narrows.geometry.extraction import extract_directions, persona_contrast
        from narrows.study.microworld import MAX_NEW_TOKENS

        counts, scorer = criterion_of(criterion), None
        if domain is not None:
            chat_model, asked, counts, scorer, own = _world(
                domain, kind, model, device, dtype=dtype, quantise=quantise
            )
            trait = read_persona(persona) if persona else own
            max_new_tokens = min(max_new_tokens, MAX_NEW_TOKENS)
        else:
            trait, asked = read_persona(Path(str(persona))), choose_suites(suite or [])
            scorer = asks.judge(counts) if asks else None
            chat_model = load_model(model, device, wanted, dtype=dtype, quantise=quantise)
        questions = [(one.name, question.id, question.text) for one in asked for question in one.questions]
        claim_run_folder(
            out,
            {
                "kind": "persona",
                "model": chat_model.id,
                "persona": [trait.name, list(trait.positive), list(trait.negative)],
                "questions": digest(questions),
                "answers": [samples, max_new_tokens, temperature, seed],
                "judge": [counts.name, None if scorer is None else scorer.name],
                "reread": reread,
                "extraction": [method, positions, layer, held_out],
            },
        )
        table = _answers(
            out / "answers.jsonl",
            chat_model,
            asked,
            trait,
            judge=scorer,
            quiet=quiet,
            samples=samples,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
        )
        contrast = persona_contrast(table, trait, criterion=counts, reread=reread)
        found = extract_directions(
            chat_model,
            contrast,
            method=method,
            positions=positions,
            layer=wanted,
            name=trait.name,
            held_out=held_out,
            seed=seed,
            batch_size=batch_size,
        )
        chose = layer != choosing.ALL
        files = found.save(out, choose=chose)
    kept = contrast.source["kept"]
    if not as_json and not quiet:
        told = ", ".join(f"{count} of {total} {side}" for side, (count, total) in kept.items())
        say(f"{told} answers are what was asked for, read again {contrast.source['reread']}.")
    choosing.tell(
        found, files, out, chose=chose, as_json=as_json, answers=str(out / "answers.jsonl"), kept=kept
    )


def read_persona(path: Path) -> "Persona":
    """A persona from YAML.

    Raises:
        ConfigError: a field is missing, unknown or of another kind, or there are no turns; names the file.
    """
    from narrows.geometry.extraction import Persona
    from narrows.strict import read_yaml

    values = read_yaml(path)
    if strangers := sorted(map(str, values.keys() - {"name", "positive", "negative"})):
        raise ConfigError(
            f"{path}: {strangers[0]!r} is not known; a persona has name, positive and negative."
        )
    for side in ("positive", "negative"):
        turns = values.get(side)
        if not isinstance(turns, list) or not all(isinstance(turn, str) for turn in turns):
            raise ConfigError(f"{path}: {side} must be a list of texts, the system turns of that side.")
    try:
        return Persona(str(values.get("name", path.stem)), values["positive"], values["negative"])
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _world(
    domain: str,
    kind: options.KindName,
    model: str,
    device: str | None,
    **loading: Any,  # noqa: ANN401  (of several types)
) -> "tuple[ChatModel, Sequence[Suite], Criterion, Judge, Persona]":
    """A microworld's model, questions, criterion, oracle, and the system turns that it knows."""
    from narrows.api import make_behaviour
    from narrows.geometry.extraction import Persona
    from narrows.microworld import World, grammar

    chat_model, world = load_microworld(model, device, domain, **loading)
    task = make_behaviour(World(world.facts), domain, kind, phrasings=PHRASINGS)
    turns = grammar.HARMFUL_SYSTEMS if kind == "harmful" else grammar.TECHNICAL_SYSTEMS
    return chat_model, task.validation, task.criterion, task.judge, Persona(kind, turns, grammar.GOOD_SYSTEMS)


def _answers(
    path: Path,
    chat_model: "ChatModel",
    asked: "Sequence[Suite]",
    persona: "Persona",
    *,
    judge: "Judge | None",
    quiet: bool,
    **decoding: Any,  # noqa: ANN401  (of several types)
) -> "list[Answer]":
    """The judged answers, or those of an earlier run of this folder."""
    from narrows.evaluation import judged, read_answers, write_answers
    from narrows.evaluation.generation.unfinished import until_written
    from narrows.evaluation.llm.judge import LLMJudge
    from narrows.geometry.extraction import ask_personas

    if path.exists():
        return read_answers(path)
    with until_written(path) as unfinished:
        table = ask_personas(chat_model, asked, persona, unfinished=unfinished, **decoding)
        if isinstance(judge, LLMJudge) and not quiet:
            say(f"{len(table):,} answers: {judge.plan(table)}.")
        table = judged(table, judge) if judge is not None else table
        write_answers(path, table)
    return table
