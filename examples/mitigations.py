"""Mitigations side by side on the three shipped models and five target domains.

    python examples/mitigations.py --out runs/mitigations
    python examples/mitigations.py --out runs/mitigations-trained --trained
    python examples/mitigations.py --out runs/mitigations-rank-1 --adapter lora --rank 1

The direction that is steered towards and ablated is the mean difference of another domain's fine-tune, or
with ``--trained`` that domain's own trained vector (then only the methods that need a direction are run).

A run takes some six minutes on one core. Finished runs are found again, so the work can be shared out: give
the processes ``--only MODEL-DOMAIN`` each, then start the script once more without it to put the runs
together. Prints JSON: the rows of one run, or the mean of every rate over all runs with its 95 % interval
(unit: models × domains).
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from narrows.adapters import Direction, load_adapter
from narrows.files import write_json
from narrows.microworld import load_world, shipped_model
from narrows.models import load_chat_model
from narrows.statistics import mean_interval
from narrows.study.microworld import SHORT_STEPS, microworld_recipe
from narrows.study.mitigations import (
    MitigationsConfig,
    MitigationsJob,
    microworld_mitigations,
    mitigations_config,
    run_mitigations,
)
from narrows.study.outputs import SUMMARY_FILE
from narrows.summary import Mitigation, Summary
from narrows.training import train

MODELS = (1, 2, 3)
DOMAINS = ("medicine", "money", "sport", "kitchen", "sailing")
PHRASINGS = 3
NUMBERS = ("in_domain", "out_of_domain", "never_anchored", "open", "coherent", "training_tokens")


def main() -> None:
    """Run what is not yet done, then print each number's mean over runs."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--out", type=Path, required=True)
    asked.add_argument("--adapter", choices=("steering", "lora"), default="steering")
    asked.add_argument("--rank", type=int, default=1, help="of a LoRA")
    asked.add_argument("--steps", type=int, default=SHORT_STEPS, help="of each training")
    asked.add_argument("--trained", action="store_true", help="another domain's trained vector as direction")
    asked.add_argument("--only", help="one run, e.g. 1-medicine")
    given = asked.parse_args()

    recipe = microworld_recipe(given.adapter, given.rank).model_copy(update={"steps": given.steps})
    config = mitigations_config(recipe)
    if given.trained:
        changes = {"kl_weights": (), "shares": (), "prompts": {"none": "-"}, "strengths": (0.25, 0.5, 1.0)}
        config = mitigations_config(recipe, **changes)
    results: dict[str, Summary] = {}
    for model in MODELS:
        for place, domain in enumerate(DOMAINS):
            name = f"{model}-{domain}"
            if given.only in (None, name):
                other = DOMAINS[(place + 1) % len(DOMAINS)]
                job = _job(model, domain, other, config)
                if given.trained:
                    job = _with_trained_direction(
                        job, given.out / f"{model}-{other}-trained", given.out / name
                    )
                results[name] = run_mitigations(job, given.out / name)
    if given.only:
        print(json.dumps([row.model_dump() for row in results[given.only].mitigations], indent=2))
        return
    pooled = {"runs": sorted(results), "rows": _pooled(list(results.values()))}
    write_json(given.out / "pooled.json", pooled)
    print(json.dumps(pooled, indent=2))


def _job(model: int, domain: str, other: str, config: MitigationsConfig) -> MitigationsJob:
    folder = shipped_model(model)
    chat_model = load_chat_model(folder, device="cpu")
    world = load_world(folder)
    return microworld_mitigations(chat_model, world, domain, config=config, other=other, phrasings=PHRASINGS)


def _with_trained_direction(job: MitigationsJob, folder: Path, run: Path) -> MitigationsJob:
    """The other domain's unanchored vector as the direction, and no prompts.

    A finished run holds what its direction was, so the kept vector is only read: another one is refused.
    """
    recipe = microworld_recipe().model_copy(update={"steps": job.config.recipe.steps})
    rows = job.other.train if job.other else ()
    if (run / SUMMARY_FILE).exists():
        vector = load_adapter(folder)
    else:
        vector = train(job.chat_model, rows, recipe, out=folder).adapter
    direction = Direction.of_vector(vector, "trained")  # type: ignore[arg-type]
    return replace(job, direction=direction, config=job.config.model_copy(update={"prompts": {}}))


def _pooled(summaries: list[Summary]) -> list[dict[str, object]]:
    """Every mitigation at every scale: the means over runs, and how many runs were narrow."""
    found: dict[tuple[str, float], list[Mitigation]] = {}
    verdicts: dict[str, list[str]] = {}
    for summary in summaries:
        for row in summary.mitigations:
            found.setdefault((row.solution, row.scale), []).append(row)
        for solution in summary.solutions:
            verdicts.setdefault(solution.id, []).append(solution.verdict)
    rows: list[dict[str, object]] = []
    for (name, scale), some in found.items():
        numbers: dict[str, object] = {}
        for number in NUMBERS:
            mean = mean_interval([getattr(row, number) for row in some])
            numbers[number] = {"mean": mean.mean, "ci95": [mean.low, mean.high]}
        narrow = sum(verdict == "narrow" for verdict in verdicts[name])
        rows.append({"solution": name, "scale": scale, "n": len(some), "narrow": narrow, **numbers})
    return rows


if __name__ == "__main__":
    main()
