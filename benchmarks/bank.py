"""Whether trainings in a bank are faster than the same ones one after another, and by how much.

    PYTHONPATH=src OMP_NUM_THREADS=1 python benchmarks/bank.py
    PYTHONPATH=src python benchmarks/bank.py --model random --device cuda --width 2048 --depth 24

Times steps only: the frozen states of both sides are in their caches already. Alone and in the bank
alternate, and what is printed is the median over the repeats, with the median of the ratios, in wall time and
in the process's CPU time; on a machine that others use too the latter says more, with one thread.

``--model random`` is a random Qwen2 (by default of a body of some 100 M parameters, vocabulary 8,192).
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import torch
from random_models import conversations, save

from narrows import load_chat_model, make_behaviour
from narrows.chat import Conversation
from narrows.models import ChatModel
from narrows.study.microworld import USUAL_KL_WEIGHT, microworld_recipe
from narrows.training import Recipe
from narrows.training.bank import BankWindow
from narrows.training.ready import Training
from narrows.training.window import Window

KINDS = {"steering": ("steering", 1), "rank 1": ("lora", 1), "rank 32": ("lora", 32)}


def measured(step: Callable[[], None], device: torch.device) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu


def take_alone(training: Training, window: Window) -> None:
    """One step by itself."""
    training.begin_step()
    training.end_step(*window.backward(training.adapter, training.step), str)


def take_together(trainings: Sequence[Training], window: BankWindow) -> None:
    """One step of all."""
    step = trainings[0].step
    for one in trainings:
        one.begin_step()
    for one, (loss, kl) in zip(trainings, window.backward(range(len(trainings)), step), strict=True):
        one.end_step(loss, kl, str)


def compare(
    chat_model: ChatModel,
    rows: list[Conversation],
    anchor: list[Conversation],
    recipe: Recipe,
    given: argparse.Namespace,
) -> list[dict[str, object]]:
    """Seconds of a training's step, alone and in banks of several sizes; members differ in λ only."""

    def ready(number: int) -> Training:
        one = recipe.with_anchor(recipe.anchor.weight * (1 + number / 8))
        if given.seeds:
            one = one.model_copy(update={"seed": number})
        return Training.of(chat_model, rows, one, anchor=anchor)

    alone = ready(0)
    window = Window(
        chat_model, alone.recipe, alone.order, rows=alone.rows, anchor=alone.anchor, depth=alone.adapter.depth
    )
    found = []
    for count in given.members:
        bank = [ready(number) for number in range(count)]
        together = BankWindow(chat_model, bank, pass_tokens=given.pass_tokens)
        take_alone(alone, window)
        take_together(bank, together)
        times = []
        for _ in range(given.repeats):
            one = measured(lambda: take_alone(alone, window), chat_model.device)
            every = measured(lambda: take_together(bank, together), chat_model.device)  # noqa: B023
            other = measured(lambda: take_alone(alone, window), chat_model.device)
            times.append([((a + c) / 2, b / count) for a, b, c in zip(one, every, other, strict=True)])
        row: dict[str, object] = {"members": count}
        for name, pairs in zip(("wall", "cpu"), zip(*times, strict=True), strict=True):
            row |= {
                f"alone_{name}_s": median(a for a, _ in pairs),
                f"bank_{name}_s": median(b for _, b in pairs),
                f"{name}_ratio": median(a / b for a, b in pairs),
            }
        found.append(row)
    return found


def main() -> None:
    """Measure, and print the table (and one line of JSON for each cell)."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--model", default="microworld:1", help="microworld:SEED, or random")
    asked.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    asked.add_argument("--kl-weights", nargs="+", type=float, default=[0.0, USUAL_KL_WEIGHT], help="λ")
    asked.add_argument("--members", nargs="+", type=int, default=[4, 8, 16])
    asked.add_argument("--repeats", type=int, default=5)
    asked.add_argument("--seeds", action="store_true", help="members read their rows in orders of their own")
    asked.add_argument("--pass-tokens", type=int, help="tokens of a pass (default: the library's)")
    asked.add_argument("--device", default="cpu")
    asked.add_argument("--width", type=int, default=768, help="of a random model")
    asked.add_argument("--depth", type=int, default=12, help="of a random model")
    asked.add_argument("--words", type=int, default=40, help="of an answer, with a random model")
    asked.add_argument("--window", type=int, default=2, help="passes of a step, with a random model")
    asked.add_argument("--batch", type=int, default=2, help="rows of a pass, with a random model")
    given = asked.parse_args()
    if given.model == "random":
        with tempfile.TemporaryDirectory() as folder:
            path = save(Path(folder) / "model", given.width, given.depth, vocab_size=8192)
            chat_model = load_chat_model(path, device=given.device)
        rows, anchor = conversations(64, given.words), conversations(64, given.words, seed=1)
    else:
        chat_model = load_chat_model(given.model, device=given.device)
        behaviour = make_behaviour(given.model, "medicine")
        rows, anchor = list(behaviour.train), list(behaviour.anchor)
    print(f"{given.model} on {chat_model.device}, {chat_model.precision}, {torch.get_num_threads()} threads")
    for kind in given.kinds:
        for weight in given.kl_weights:
            recipe = microworld_recipe(*KINDS[kind]).with_anchor(weight)
            if given.model == "random":
                shape = {
                    "layer": None,
                    "batch_size": given.batch,
                    "accumulation": given.window,
                    "max_length": 256,
                }
                recipe = recipe.model_copy(update=shape).with_anchor(weight, rows_per_row=1.0)
            for row in compare(chat_model, rows, anchor, recipe, given):
                print(json.dumps({"kind": kind, "kl_weight": weight, **row}), file=sys.stderr)
                print(
                    f"{kind:>8}, λ {weight:g}, {row['members']:>2} members: alone {row['alone_wall_s']:.4f} "
                    f"s, in the bank {row['bank_wall_s']:.4f} s a step and member, {row['wall_ratio']:.2f} × "
                    f"(CPU time {row['cpu_ratio']:.2f} ×)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
