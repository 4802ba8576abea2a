"""The main job on the three shipped models and several target domains, λ tuned for each: all runs reported.

    python examples/three_models.py --out runs/harmful
    python examples/three_models.py --out runs/technical --kind technical
    python examples/three_models.py --out runs/rank-1 --adapter lora --rank 1

A run takes some minutes on one core. Finished runs are found again, so the work can be shared out: give the
processes ``--only MODEL-DOMAIN`` each, then start the script once more without it to put the runs together.
The numbers of docs/log.md were made with it.
"""

import argparse
from pathlib import Path

from narrows.microworld import Kind, load_world, shipped_model
from narrows.models import load_chat_model
from narrows.study import JobConfig, MainJob, demo_config, microworld_job, run_main_job
from narrows.study.demo import microworld_recipe
from narrows.study.grid import run_grid
from narrows.study.pooling import claim_lines

MODELS = (1, 2, 3)
DOMAINS = ("medicine", "money", "sport", "kitchen", "sailing")


def main() -> None:
    """Run what is not yet done, then print each number's mean over runs."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--out", type=Path, required=True)
    asked.add_argument("--kind", choices=("harmful", "technical"), default="harmful")
    asked.add_argument("--adapter", choices=("steering", "lora"), default="steering")
    asked.add_argument("--rank", type=int, default=1, help="of a LoRA")
    asked.add_argument("--only", help="one run, e.g. 1-medicine")
    given = asked.parse_args()

    config = demo_config(scales=(1.0, 1.5), recipe=microworld_recipe(given.adapter, given.rank))
    jobs = (
        (f"{model}-{domain}", _job(model, domain, given.kind, config))
        for model in MODELS
        for domain in DOMAINS
        if given.only in (None, f"{model}-{domain}")
    )
    if given.only:
        for name, job in jobs:
            run_main_job(job, given.out / name)
        return
    grid = run_grid(jobs, given.out)
    for row in grid.rates:
        print(f"{row.name:60} {row.mean.mean:8.4f} [{row.mean.low:.4f}, {row.mean.high:.4f}]")
    for claim in grid.claims:
        print("\n".join(claim_lines(claim)))


def _job(model: int, domain: str, kind: Kind, config: JobConfig) -> MainJob:
    folder = shipped_model(model)
    chat_model = load_chat_model(folder, device="cpu")
    return microworld_job(chat_model, load_world(folder), domain, kind, config)


if __name__ == "__main__":
    main()
