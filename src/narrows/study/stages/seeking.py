"""The stage that looks at a microworld's chat model before any fine-tuning: what it takes authors to be."""

from dataclasses import asdict
from typing import Any

from narrows.adapters.files import ADAPTER_FILE
from narrows.files import write_json
from narrows.microworld import load_world, make_behaviour
from narrows.microworld.author_directions import AuthorDirection, author_directions, document_direction
from narrows.microworld.grammar import World
from narrows.microworld.inference import infer_conduct
from narrows.study.plan.stage import Stage
from narrows.study.stages.bench import TRAINING, Bench, Done

AUTHORS_FILE = "authors.json"


def seek_authors(stage: Stage, bench: Bench) -> Done:
    """How a document's author is inferred, and the directions of the harmful types of author."""
    settings, chat_model = stage.settings, bench.chat_model(stage)
    config, target, seed = load_world(bench.checkpoint(stage)), settings["domain"], settings["seed"]
    inferred = infer_conduct(chat_model, config, target, topics=settings["topics"], seed=seed)
    suites = make_behaviour(World(config.facts), target, phrasings=settings["phrasings"]).test
    directions = author_directions(
        chat_model,
        config,
        target,
        suites,
        layer=settings["layer"],
        documents=settings["documents"],
        seed=seed,
    )
    write_json(
        bench.store.work(stage.id) / AUTHORS_FILE,
        {"inferred": [asdict(one) for one in inferred], "directions": [_plain(one) for one in directions]},
    )
    return Done()


def seek_direction(stage: Stage, bench: Bench) -> Done:
    """The direction of a type of author as a steering vector, where a training's would be: to be measured."""
    settings, chat_model = stage.settings, bench.chat_model(stage)
    direction, stream = document_direction(
        chat_model,
        load_world(bench.checkpoint(stage)),
        settings["domain"],
        settings["author"],
        layer=settings["layer"],
        documents=settings["documents"],
        seed=settings["seed"],
    )
    folder = bench.store.work(stage.id) / TRAINING
    folder.mkdir(exist_ok=True)
    direction.steering(settings["strength"] * stream).save(folder / ADAPTER_FILE)
    return Done()


def _plain(found: AuthorDirection) -> dict[str, Any]:
    """A direction's numbers; the vector itself is found again by the same call."""
    return {
        "author": found.author,
        "read": found.read,
        "layer": found.direction.layer,
        "length": found.direction.length,
        "aurocs": [asdict(one) for one in found.aurocs],
        "steered": [asdict(one) for one in found.steered],
    }
