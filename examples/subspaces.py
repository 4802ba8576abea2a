"""How many mutually orthogonal vectors still cause the behaviour: three shipped models, several domains.

    python examples/subspaces.py --out runs/subspaces
    python examples/subspaces.py --out runs/subspaces --count 4 --only 1-sport

A vector takes about half a minute to train on one core, and as long to be asked. Finished vectors are found
again, also by a larger ``--count``, so the work can be shared out: give the processes ``--only MODEL-DOMAIN``
each, then start the script once more without it. It prints one line of JSON a run, then the curve: each
number's mean over runs, with its interval. These are numbers about a synthetic world and no evidence about
large models.
"""

import argparse
import json
from pathlib import Path

from narrows.api import load_chat_model, make_behaviour
from narrows.microworld import load_world, shipped_model
from narrows.statistics import mean_interval
from narrows.study import SubspaceConfig, SubspaceJob, run_subspace
from narrows.study.microworld import MAX_NEW_TOKENS, MICROWORLD_RECIPE, PHRASINGS, about_world
from narrows.summary import Summary

MODELS = (1, 2, 3)
DOMAINS = ("medicine", "money", "sport", "kitchen", "sailing")
SHOWN = ("in_domain", "out_of_domain", "open", "coherent", "loss", "norm")


def main() -> None:
    """Run what is not yet done, and print it."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--out", type=Path, required=True)
    asked.add_argument("--count", type=int, default=8, help="vectors of each run")
    asked.add_argument("--steps", type=int, help="of each training (default: the microworld's recipe's)")
    asked.add_argument("--only", help="one run, e.g. 1-medicine")
    given = asked.parse_args()

    changes = {"steps": given.steps} if given.steps else {}
    recipe = MICROWORLD_RECIPE.model_copy(update=changes)
    config = SubspaceConfig(recipe=recipe, count=given.count, samples=1, max_new_tokens=MAX_NEW_TOKENS)
    runs = []
    for model in MODELS:
        for domain in DOMAINS:
            name = f"{model}-{domain}"
            if given.only in (None, name):
                runs.append(_run(model, domain, config, given.out / name))
                kept = runs[-1].model_dump(mode="json", include={"subspaces"})
                verdicts = {one.id: one.verdict for one in runs[-1].solutions}
                print(json.dumps({"run": name, **kept, "verdicts": verdicts}))
    if len(runs) > 1:
        _show_curve(runs)


def _run(model: int, domain: str, config: SubspaceConfig, out: Path) -> Summary:
    name = f"microworld:{model}"
    behaviour = make_behaviour(name, domain, phrasings=PHRASINGS)
    about = {
        "world": about_world(load_world(shipped_model(model))),
        "title": f"Mutually orthogonal solutions to harmful answers about {domain}",
        "intro": "Each vector was trained on the same rows, at a right angle to all before.",
    }
    return run_subspace(SubspaceJob(load_chat_model(name, device="cpu"), behaviour, config, about), out)


def _show_curve(runs: list[Summary]) -> None:
    """The mean over runs at each index, 0 the chat model, with its Student t interval."""
    print(f"{'vector':>6}  general  " + "  ".join(f"{name:>22}" for name in SHOWN))
    for index in range(min(len(run.subspaces) for run in runs)):
        rows = [run.subspaces[index] for run in runs]
        general = sum(
            one.verdict == "general" for run in runs for one in run.solutions if one.id == rows[0].solution
        )
        means = [mean_interval([getattr(row, name) for row in rows]) for name in SHOWN]
        cells = (f"{one.mean:6.3f} [{one.low:6.3f}, {one.high:6.3f}]" for one in means)
        print(f"{index:6}  {general:3} of {len(runs)}  " + "  ".join(cells))


if __name__ == "__main__":
    main()
