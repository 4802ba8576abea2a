"""Claim C8 on the three shipped models and several target domains: all runs reported.

    python examples/gradients.py --out runs/gradients
    python examples/gradients.py --out runs/gradients-rank-1 --adapter lora --rank 1

In each run five vectors are trained (the followed one, a general and a narrow one that read the rows in
another order, and the same two for the next domain in the list), which takes some minutes on one core.
Finished runs are found again, so the work can be shared out: give the processes ``--only MODEL-DOMAIN`` each,
then start the script once more without it. It prints one line of JSON a run, then each number's mean over
runs. These are numbers about a synthetic world and no evidence about large models.
"""

import argparse
import json
from pathlib import Path

from narrows import load_chat_model, make_behaviour
from narrows.microworld import load_world, shipped_model
from narrows.models import ChatModel
from narrows.study import GradientConfig, GradientJob, run_gradients
from narrows.study.microworld import USUAL_KL_WEIGHT, about_world, microworld_recipe
from narrows.study.pooling import RunClaims, adapter_words, claim_lines, pooled

MODELS = (1, 2, 3)
ROWS = 48
"""Rows of each of eight groups: most of the training rows. From about step 60 the gradient of 16 rows is
mostly their noise; this was seen on one run (1-sport) and set before the others were made.
"""
DOMAINS = ("medicine", "money", "sport", "kitchen", "sailing")


def main() -> None:
    """Run what is not yet done, and print it."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--out", type=Path, required=True)
    asked.add_argument("--adapter", choices=("steering", "lora"), default="steering")
    asked.add_argument("--rank", type=int, default=1, help="of a LoRA")
    asked.add_argument("--kl-weight", type=float, default=USUAL_KL_WEIGHT, help="λ of the narrow solutions")
    asked.add_argument("--steps", type=int, help="of each training (default: the microworld's recipe's)")
    asked.add_argument("--only", help="one run, e.g. 1-medicine")
    given = asked.parse_args()

    recipe = microworld_recipe(given.adapter, given.rank)
    if given.steps:
        recipe = recipe.model_copy(update={"steps": given.steps})
    config = GradientConfig(recipe=recipe, kl_weight=given.kl_weight, rows=ROWS)
    folders = []
    for model in MODELS:
        chat_model: ChatModel | None = None
        for place, domain in enumerate(DOMAINS):
            name = f"{model}-{domain}"
            if given.only not in (None, name):
                continue
            chat_model = chat_model or load_chat_model(f"microworld:{model}", device="cpu")
            behaviour, elsewhere = (
                make_behaviour(f"microworld:{model}", one)
                for one in (domain, DOMAINS[(place + 1) % len(DOMAINS)])
            )
            about = {
                "world": about_world(load_world(shipped_model(model))),
                "title": f"Where the gradient points while harmful answers about {domain} are learnt",
                "intro": "Its way down, held against the general and the narrow solution of other runs.",
            }
            job = GradientJob(chat_model, behaviour, config, elsewhere, about)
            summary = run_gradients(job, given.out / name)
            folders.append(given.out / name)
            print(
                json.dumps({"run": name, **summary.model_dump(mode="json", include={"claims", "gradients"})})
            )
    adapter = adapter_words(recipe.adapter, recipe.rank)
    for claim in pooled([RunClaims.load(folder, adapter) for folder in folders if not given.only]):
        print("\n".join(claim_lines(claim)))


if __name__ == "__main__":
    main()
