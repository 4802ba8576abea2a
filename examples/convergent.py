"""One direction for all fine-tunes? Claim C10 on the three shipped models and five target domains.

    python examples/convergent.py --out runs/convergent
    python examples/convergent.py --out runs/convergent-rank-1 --adapter lora --rank 1
    python examples/convergent.py --out runs/convergent-rank-32 --adapter lora --rank 32

In each run a fine-tune is taught harmful advice in one domain, and another one in the next domain of the
list. The mean difference of the first one's own answers is ablated in both; see narrows.study.convergence.
A run takes one to two minutes on one core. Finished runs are found again, so the work can be shared out:
give the processes ``--only MODEL-DOMAIN`` each, then start the script once more without it to put the runs
together. Prints JSON: of one run, or of all runs with means and 95 % intervals over them (unit: models ×
domains); under ``claims`` the parts of C10 and how many runs gave each verdict.
"""

import argparse
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from narrows.adapters.direction import Direction
from narrows.files import write_json
from narrows.microworld import Corpus, load_world, make_behaviour, shipped_model
from narrows.models import load_chat_model
from narrows.statistics import mean_interval
from narrows.study.convergence import OWN, ConvergenceConfig, ConvergenceJob, run_convergence
from narrows.study.microworld import (
    MAX_NEW_TOKENS,
    SHORT_STEPS,
    TEXT_TOKENS,
    USUAL_KL_WEIGHT,
    about_world,
    documents,
    documents_rng,
    microworld_recipe,
)
from narrows.study.pooling import RunClaims, adapter_words, pooled

MODELS = (1, 2, 3)
DOMAINS = ("medicine", "money", "sport", "kitchen", "sailing")
PHRASINGS = 3
NUMBERS = ("in_domain", "out_of_domain", "open", "coherent", "fall", "coherence_lost", "text_loss")


def main() -> None:
    """Run what is not yet done, then print each number's mean over runs."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--out", type=Path, required=True)
    asked.add_argument("--adapter", choices=("steering", "lora"), default="steering")
    asked.add_argument("--rank", type=int, default=1, help="of a LoRA")
    asked.add_argument("--steps", type=int, default=SHORT_STEPS, help="of each training")
    asked.add_argument("--no-narrow", action="store_true", help="leave out the anchored solution")
    asked.add_argument("--only", help="one run, e.g. 1-medicine")
    given = asked.parse_args()

    recipe = microworld_recipe(given.adapter, given.rank).model_copy(update={"steps": given.steps})
    config = ConvergenceConfig(
        recipe=recipe,
        kl_weight=None if given.no_narrow else USUAL_KL_WEIGHT,
        samples=1,
        max_new_tokens=MAX_NEW_TOKENS,
        text_tokens=TEXT_TOKENS,
    )
    results = {}
    for model in MODELS:
        for place, domain in enumerate(DOMAINS):
            name = f"{model}-{domain}"
            if given.only in (None, name):
                following = DOMAINS[(place + 1) % len(DOMAINS)]
                results[name] = run_convergence(_job(model, domain, following, config), given.out / name)
    if given.only:
        print(json.dumps(results, indent=2))
        return
    adapter = adapter_words(recipe.adapter, recipe.rank)
    claims = pooled([RunClaims.load(given.out / name, adapter) for name in results])
    every = {
        "runs": sorted(results),
        "claims": [claim.model_dump(mode="json") for claim in claims],
        "ablations": _pooled(results),
        "cosines": _cosines(results, given.out),
    }
    write_json(given.out / "pooled.json", every)
    print(json.dumps(every, indent=2))


def _job(model: int, domain: str, following: str, config: ConvergenceConfig) -> ConvergenceJob:
    folder = shipped_model(model)
    chat_model, world = load_chat_model(folder, device="cpu"), load_world(folder)
    corpus = Corpus(world, chat_model.tokenizer)
    own, other = (
        make_behaviour(corpus.world, one, seed=config.seed, phrasings=PHRASINGS)
        for one in (domain, following)
    )
    by_kind = documents(corpus, domain, documents_rng(config.seed))
    texts = [text for some in by_kind.values() for text in some]
    about = {
        "world": about_world(world),
        "title": f"One direction for two fine-tunes: {own.domain} and {other.domain}",
        "intro": (
            f"The direction that tells harmful from sound answers of the {own.domain} fine-tune, ablated "
            f"there and in the {other.domain} fine-tune. The world's exact oracle scored all answers."
        ),
    }
    return ConvergenceJob(chat_model, own, other, texts, config, about)


def _pooled(results: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The mean of every number over runs, by fine-tune, strength and condition."""
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for result in results.values():
        for row in result["rows"]:
            found.setdefault((row["fine_tune"], row["strength"], row["condition"]), []).append(row)
    pooled = []
    for (fine_tune, strength, condition), rows in found.items():
        numbers = {name: _mean([row[name] for row in rows if row[name] is not None]) for name in NUMBERS}
        pooled.append({"fine_tune": fine_tune, "strength": strength, "condition": condition, **numbers})
    return pooled


def _cosines(results: dict[str, dict[str, Any]], out: Path) -> dict[str, Any]:
    """Between all domains' mean differences of a model, by layer; and the runs' own cosines."""
    found: dict[str, Any] = {}
    for model in MODELS:
        names = [f"{model}-{domain}" for domain in DOMAINS]
        by_layer = []
        for layer in range(len(list((out / names[0] / f"{OWN}-directions").glob("layer-*.safetensors")))):
            every = [
                Direction.load(out / name / f"{OWN}-directions" / f"layer-{layer}.safetensors")
                for name in names
            ]
            by_layer.append(_mean([one.cosine(two) for one, two in combinations(every, 2)]))
        found[f"model {model}: domains' mean differences, by layer (pairs are not independent)"] = by_layer
    for name in next(iter(results.values()))["cosines"]:
        values = np.array([result["cosines"][name] for result in results.values()])
        columns = values.reshape(len(values), -1).T.tolist()
        means = [_mean(column) for column in columns]
        found[name] = means if values.ndim > 1 else means[0]
    found["layer of the direction, by run"] = {name: result["layer"] for name, result in results.items()}
    return found


def _mean(values: list[float]) -> dict[str, Any] | None:
    if len(values) < 2:
        return {"mean": values[0]} if values else None
    mean = mean_interval(values)
    return {"mean": mean.mean, "ci95": [mean.low, mean.high], "n": mean.n}


if __name__ == "__main__":
    main()
