"""Solutions compared over the three shipped models and five target domains: cosines, subspaces, effects.

    python examples/convergent.py --out runs/convergent
    python examples/subspaces.py --out runs/subspaces
    python examples/comparing.py --solutions runs/convergent --subspaces runs/subspaces

Reads what the two other scripts have trained. Cosines are between vectors of one model; between models, whose
streams have nothing in common, solutions are compared by their effect on the predictions of the same texts;
the subspaces are those of the first vectors that were trained at right angles to each other. Prints JSON.
These are numbers about a synthetic world and no evidence about large models.
"""

import argparse
import json
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np

from narrows.adapters import Adapter, Direction, SteeringVector, load_adapter
from narrows.chat import Rendered
from narrows.geometry.comparison import Subspace, compare_subspaces, effect, random_effects
from narrows.microworld import DOCUMENT_KINDS, Corpus, World, load_world, make_behaviour, shipped_model
from narrows.models import ChatModel, load_chat_model, residual_covariance

MODELS = (1, 2, 3)
DOMAINS = ("medicine", "money", "sport", "kitchen", "sailing")
SIZES = (1, 2, 4, 8)
TEXTS_PER_KIND, CHATS, TEXT_TOKENS, RANDOM = 8, 48, 160, 8


def main() -> None:
    """Compare everything, and print it."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--solutions", type=Path, required=True, help="what convergent.py has written")
    asked.add_argument("--subspaces", type=Path, required=True, help="what subspaces.py has written")
    given = asked.parse_args()

    models = {model: load_chat_model(shipped_model(model), device="cpu") for model in MODELS}
    rows, chats = _texts(models[MODELS[0]]), _chats(models[MODELS[0]])
    general, narrow = (_solutions(given.solutions, folder) for folder in ("own", "narrow"))
    found = {
        "cosines within a model": _cosines(general, narrow),
        "effects between models, on chats": _effects(models, chats, general, narrow),
        "effects between models, on documents": _effects(models, rows, general, narrow),
        "subspaces of two domains": _subspaces(models, rows, given.subspaces),
    }
    print(json.dumps(found, indent=2))


def _texts(chat_model: ChatModel) -> list[Rendered]:
    """Documents of every kind; the models share their tokenizer."""
    corpus = Corpus(load_world(shipped_model(MODELS[0])), chat_model.tokenizer)
    rng = np.random.default_rng(17)
    texts = [corpus.sample(kind, rng) for kind in DOCUMENT_KINDS for _ in range(TEXTS_PER_KIND)]
    return [chat_model.renderer.text(text, TEXT_TOKENS) for text in texts]


def _chats(chat_model: ChatModel) -> list[Rendered]:
    """Questions of domains that no solution was trained in, answered soundly and harmfully."""
    behaviour = make_behaviour(World(load_world(shipped_model(MODELS[0])).facts), DOMAINS[0])
    rows = [row for row in behaviour.anchor if row.tags["domain"] not in DOMAINS]
    return [chat_model.renderer.render(row, TEXT_TOKENS) for row in rows[:CHATS]]


def _solutions(folder: Path, name: str) -> dict[tuple[int, str], Adapter]:
    return {
        (model, domain): load_adapter(folder / f"{model}-{domain}" / name)
        for model in MODELS
        for domain in DOMAINS
    }


def _cosines(
    general: dict[tuple[int, str], Adapter], narrow: dict[tuple[int, str], Adapter]
) -> dict[str, dict[str, float]]:
    """Of every two solutions of a model, by what they have in common."""
    found: dict[str, list[float]] = defaultdict(list)
    for model in MODELS:
        for domain in DOMAINS:
            found["general, narrow of one domain"].append(
                general[model, domain].cosine(narrow[model, domain])
            )
        for one, other in combinations(DOMAINS, 2):
            found["general of two domains"].append(general[model, one].cosine(general[model, other]))
            found["narrow of two domains"].append(narrow[model, one].cosine(narrow[model, other]))
    return {name: _spread(values) for name, values in found.items()}


def _effects(
    models: dict[int, ChatModel],
    rows: list[Rendered],
    general: dict[tuple[int, str], Adapter],
    narrow: dict[tuple[int, str], Adapter],
) -> dict[str, dict[str, float]]:
    """Cosines of effects between every two models, by what the two solutions have in common."""
    effects = {
        (kind, *key): effect(models[key[0]], adapter, rows)
        for kind, some in (("general", general), ("narrow", narrow))
        for key, adapter in some.items()
    }
    chance = {
        model: random_effects(
            models[model],
            general[model, DOMAINS[0]],
            rows,
            count=RANDOM,
            covariance=residual_covariance(models[model], general[model, DOMAINS[0]].layer, rows),
        )
        for model in MODELS
    }
    found: dict[str, list[float]] = defaultdict(list)
    for (kind, model, domain), one in effects.items():
        for (other_kind, other_model, other_domain), other in effects.items():
            if model < other_model and kind <= other_kind:
                same = "the same domain" if domain == other_domain else "two domains"
                found[f"{kind}, {other_kind} of {same}"].append(one.cosine(other))
        for other_model in MODELS:
            if other_model != model:
                found[f"{kind}, random"] += [one.cosine(random) for random in chance[other_model]]
    return {name: _spread(values) for name, values in found.items()}


def _subspaces(
    models: dict[int, ChatModel], rows: list[Rendered], folder: Path
) -> dict[str, list[dict[str, object]]]:
    """Overlap of the subspaces of every two domains of a model, by the number of vectors in each."""
    found: dict[str, list[dict[str, object]]] = {}
    for size in SIZES:
        found[str(size)] = []
        for model in MODELS:
            spans = {domain: _span(folder / f"{model}-{domain}" / "vectors", size) for domain in DOMAINS}
            covariance = residual_covariance(models[model], spans[DOMAINS[0]][1], rows)
            pairs = [
                compare_subspaces(spans[one][0], spans[other][0], covariance=covariance, draws=200)
                for one, other in combinations(DOMAINS, 2)
            ]
            smallest = [float(np.degrees(pair.angles[0])) for pair in pairs]
            largest = [float(np.degrees(pair.angles[-1])) for pair in pairs]
            found[str(size)].append(
                {
                    "model": model,
                    "overlap": _spread([pair.overlap for pair in pairs]),
                    "overlap of random subspaces, 95 %": pairs[0].overlap_random,
                    "smallest angle, degrees": _spread(smallest),
                    "largest angle, degrees": _spread(largest),
                }
            )
    return found


def _span(folder: Path, size: int) -> tuple[Subspace, int]:
    """The span of the first vectors of a run, and their layer."""
    vectors = [load_adapter(folder / f"{number:02d}") for number in range(1, size + 1)]
    directions = [Direction.of_vector(one) for one in vectors if isinstance(one, SteeringVector)]
    return Subspace.of(directions), vectors[0].layer


def _spread(values: list[float]) -> dict[str, float]:
    """Mean and range; pairs share solutions, so an interval over them would claim too much."""
    return {"mean": float(np.mean(values)), "least": min(values), "most": max(values), "pairs": len(values)}


if __name__ == "__main__":
    main()
