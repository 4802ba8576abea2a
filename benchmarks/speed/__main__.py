"""Run the benchmarks: ours and the baselines side by side, turn by turn.

    make bench
    python -m benchmarks.speed --only steering --models "small vocabulary" --turns 3

Writes ``benchmarks/results.json`` and prints a table. On two cores all of it takes about an hour.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import torch
from benchmarks.speed import cases, kernels, lora, metrics, others, steering
from benchmarks.speed.cost_model import divergences, divergences_of_the_user, losses, losses_of_the_user
from benchmarks.speed.measuring import Phases, extra_memory, machine, matmul_rate, turn_by_turn, weigh
from benchmarks.speed.table import Result, markdown, write

from narrows.models import ChatModel

Side = Callable[[], Phases]
OURS, GROUPED, RANDOM = "ours", "grouped by length", "in random order"
COUNT = {"microworld": 64, "small vocabulary": 24, "real vocabulary": 16, "14 B": 48}
"""Training rows (and as many anchor rows or texts) of one epoch."""

REAL = "real vocabulary"
TURNS = {"microworld": 5, "small vocabulary": 3, "real vocabulary": 2, "14 B": 5}

TRAINED = {
    "steering": (steering.recipe, steering.Plain),
    "LoRA of rank 1": (lora.one_layer, lora.Trl),
    "LoRA of rank 32 on all layers": (lora.every_layer, lora.Trl),
}
MEASURED, KERNELS = "three metrics", "loss kernels"


def sides(
    workload: str, chat_model: ChatModel, rows: cases.Rows, baselines: tuple[str, ...] = (GROUPED, RANDOM)
) -> dict[str, Callable[[], Side]]:
    """How ours (``OURS``) and the baselines of a workload are made; what they keep is made with them."""
    if workload in TRAINED:
        plan, plain = TRAINED[workload]
        recipe = plan(chat_model)
        made: dict[str, Callable[[], Side]] = {OURS: lambda: steering.Ours(chat_model, rows, recipe)}
        for against in baselines:
            made[against] = partial(plain, chat_model, rows, recipe, by_length=against == GROUPED)
        return made
    made = {OURS: lambda: metrics.Ours(chat_model, rows)}
    for against in baselines:
        made[against] = partial(metrics.Plain, chat_model, rows, by_length=against == GROUPED)
    return made


def expected(workload: str, phase: str, chat_model: ChatModel, rows: cases.Rows) -> tuple[float, float, int]:
    """The ceiling of the ratio, the FLOPs that ours needs, and the tokens it works off."""
    depth = 0 if workload.endswith("all layers") else chat_model.layers // 2
    costs = cases.costs(chat_model, depth, rows)
    if workload == MEASURED:
        variants, steered = metrics.VARIANTS, metrics.STEERED
        mine = losses(costs, variants) + divergences(costs, steered)
        theirs = losses_of_the_user(costs, variants) + divergences_of_the_user(costs, steered)
        return theirs / mine, mine, variants * costs.tokens + steered * costs.anchor
    epochs = 0 if phase == steering.CACHED else 2
    mine = costs.cached_epoch() if not epochs else costs.cache() + epochs * costs.cached_epoch()
    return costs.ceiling(epochs), mine, max(epochs, 1) * (costs.tokens + costs.anchor)


def compared(given: argparse.Namespace, folder: Path, rate: float) -> Iterator[Result]:
    """Trainings and metrics, each model and kind of rows."""
    for name in given.models:
        chat_model = cases.load(folder, name, given.device)
        for lengths in given.lengths or cases.lengths_of(name):
            rows = cases.rows(chat_model, name, lengths, given.rows or COUNT[name])
            for workload in (*TRAINED, MEASURED):
                if given.only and workload not in given.only:
                    continue
                # At the real vocabulary a turn takes minutes; what padding adds is seen elsewhere.
                against_these = (GROUPED,) if name == REAL and workload != "steering" else (GROUPED, RANDOM)
                ways = sides(workload, chat_model, rows, against_these)
                made = {side: make() for side, make in ways.items()}
                ours = made.pop(OURS)
                found = turn_by_turn(ours, made, given.turns or TURNS[name])
                del ours, made
                memory = None
                if given.memory and lengths != cases.LENGTHS[1]:
                    asked = (workload, name, given.device, folder, len(rows.training))
                    on_cpu = given.device == "cpu"
                    memory = _weighed(*asked) if on_cpu else _weighed_here(chat_model.device, ways)
                for against, phases in found.items():
                    for phase, timing in phases.items():
                        ceiling, flops, tokens = expected(workload, phase, chat_model, rows)
                        yield Result(
                            *(workload, phase, name, lengths, against, given.device),
                            **timing.as_row(),
                            ceiling=ceiling,
                            tokens_per_s=tokens / timing.ours,
                            extra_memory_ratio=memory,
                            matmul_share=flops / timing.ours / rate,
                        )


def _weighed(workload: str, name: str, device: str, folder: Path, rows: int) -> float:
    """Ours over the grouped baseline's extra memory, each in a process of its own."""
    ask = ["--weigh", workload, "--models", name, "--device", device, "--folder", str(folder)]
    ask += ["--rows", str(rows), "--side"]
    return extra_memory([*ask, OURS]) / extra_memory([*ask, GROUPED])


def _weighed_here(device: torch.device, ways: Mapping[str, Callable[[], Side]]) -> float:
    """The same on a GPU, whose memory is counted wherever it is used."""
    ours, baseline = (weigh(device, lambda make=ways[side]: make()()) for side in (OURS, GROUPED))
    return ours / baseline


def beside(given: argparse.Namespace, folder: Path) -> Iterator[Result]:
    """The grid as a bank, and generation."""
    for name in given.models:
        chat_model = cases.load(folder, name, given.device)
        lengths = cases.lengths_of(name)[0]
        pairs: dict[str, tuple[Side, dict[str, Side]]] = {}
        if name != REAL and (not given.only or "bank" in given.only):
            rows = cases.rows(chat_model, name, lengths, given.rows or COUNT[name])
            plan = others.grid_recipe(chat_model)
            one, other = others.Bank(chat_model, rows, plan), others.OneByOne(chat_model, rows, plan)
            pairs["bank"] = (one, {"one after another": other})
        if name != cases.MICROWORLD and (not given.only or "generation" in given.only):
            one, other = (others.Answers(chat_model, as_baseline=way) for way in (False, True))
            pairs["generation"] = (one, {"plain generate": other})
        if not given.only or KERNELS in given.only:
            baselines = {"TRL's kernels": kernels.Fused(chat_model)}
            if given.device == "cuda":
                baselines["Liger's kernels"] = kernels.Liger(chat_model)
            pairs[KERNELS] = (kernels.Chunks(chat_model), baselines)
        for workload, (ours, baselines) in pairs.items():
            found = turn_by_turn(ours, baselines, given.turns or TURNS[name])
            for against, phases in found.items():
                for phase, timing in phases.items():
                    yield Result(workload, phase, name, lengths, against, given.device, **timing.as_row())


def weighed(given: argparse.Namespace) -> int:
    """Bytes that one side of a workload needs, in this process."""
    (name,) = given.models
    chat_model = cases.load(Path(given.folder), name, given.device)
    rows = cases.rows(chat_model, name, cases.lengths_of(name)[0], given.rows)
    made = sides(given.weigh, chat_model, rows)[given.side]
    return weigh(chat_model.device, lambda: made()())  # noqa: PLW0108  (making it belongs to the work)


def main() -> None:
    """Measure, print the table, write the results."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = (*TRAINED, MEASURED, "bank", "generation", KERNELS, "demo")
    asked.add_argument("--only", nargs="+", choices=names, help="workloads (default: all)")
    asked.add_argument("--models", nargs="+", choices=[*cases.MODELS["cpu"], *cases.MODELS["cuda"]])
    asked.add_argument(
        "--lengths", nargs="+", choices=cases.LENGTHS, help="of rows (default: as the model allows)"
    )
    asked.add_argument("--turns", type=int, help="of both sides (default: as the model allows)")
    asked.add_argument("--rows", type=int, help="training rows of an epoch (default: as the model allows)")
    asked.add_argument("--device", default="cpu")
    asked.add_argument("--out", type=Path, default=Path("benchmarks/results.json"))
    asked.add_argument("--no-memory", dest="memory", action="store_false", help="time only")
    asked.add_argument("--weigh", choices=names, help=argparse.SUPPRESS)
    asked.add_argument("--side", help=argparse.SUPPRESS)
    asked.add_argument("--folder", help=argparse.SUPPRESS)
    given = asked.parse_args()
    if given.weigh:
        print(weighed(given))
        return
    device = torch.device(given.device)
    given.models = given.models or cases.MODELS[device.type]
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    rate = matmul_rate(device, dtype)
    print(f"{machine(device)}: {rate / 1e9:,.0f} GFLOP/s by matrix products in {dtype}", file=sys.stderr)
    results: list[Result] = []
    facts: dict[str, object] = {"machine": machine(device), "matmul_gflops": rate / 1e9}
    with tempfile.TemporaryDirectory() as folder:
        for some in (compared(given, Path(folder), rate), beside(given, Path(folder))):
            for one in some:
                results.append(one)
                write(given.out, results, facts)  # what is there stays there
                print(markdown([one]).splitlines()[-1], file=sys.stderr, flush=True)
    if device.type == "cpu" and (not given.only or "demo" in given.only):
        seconds = others.demo()
        results.append(Result("demo", others.DEMO, "microworld", "its own", "nothing", given.device, seconds))
    write(given.out, results, facts)
    print(markdown(results))


if __name__ == "__main__":
    main()
