"""How cost grows: with variants, the adapter's layer, the length of rows, the vocabulary, and rows.

    python -m benchmarks.speed.growth

A random model of a body of 19 M parameters, so that each curve takes a minute. Writes
``benchmarks/growth.json`` and ``docs/performance-growth.svg``: seconds of ours and of the careful user's,
medians of three turns.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from benchmarks.speed.cases import Rows, padded
from benchmarks.speed.measuring import Phases, clocked, machine, turn_by_turn
from benchmarks.speed.steering import CACHED, Ours, Plain, recipe
from random_models import save

from narrows.adapters import SteeringVector
from narrows.chat import Rendered
from narrows.metrics.losses import nll_of_rows
from narrows.models import ChatModel, FrozenRows, load_chat_model

WIDTH, DEPTH, VOCABULARY = 384, 10, 8_192
ROWS, LENGTH, VARIANTS = 16, 80, 8
CURVES: dict[str, tuple[str, tuple[int, ...]]] = {
    "variants": ("variants measured", (1, 2, 4, 8, 16, 32)),
    "layer": ("layers below the adapter, of 10", (1, 3, 5, 7, 9)),
    "length": ("tokens of a row", (20, 40, 80, 160, 320)),
    "vocabulary": ("vocabulary", (2_048, 8_192, 32_768, 152_064)),
    "rows": ("rows, two epochs", (8, 16, 32, 64)),
}


def rows(count: int, length: int, vocabulary: int) -> Rows:
    """Rows of one length, the last 60 % of each the answer."""
    draw = random.Random(0)
    prompt = round(0.4 * length)

    def one() -> Rendered:
        ids = [draw.randrange(4, vocabulary) for _ in range(length)]
        return Rendered(ids, [False] * prompt + [True] * (length - prompt))

    return Rows([one() for _ in range(count)], [one() for _ in range(count)])


def losses(chat_model: ChatModel, given: Rows, variants: int, depth: int) -> tuple[Callable[[], Phases], ...]:
    """The losses of some variants: ours, and one forward for each."""
    some = [SteeringVector(torch.randn(chat_model.hidden), depth - 1, 1.0) for _ in range(variants)]
    batches = [padded(given.training[start : start + 8], chat_model.device) for start in range(0, ROWS, 8)]

    def ours() -> None:
        frozen = FrozenRows(chat_model, depth, given.training, read="response")
        nll_of_rows(chat_model, frozen, some)

    @torch.no_grad()
    def theirs() -> None:
        for vector in some:
            with vector.attach(chat_model):
                for ids, mask, labels in batches:
                    logits = chat_model.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
                    wanted = labels[:, 1:].flatten()
                    torch.nn.functional.cross_entropy(logits[:, :-1].float().flatten(0, 1), wanted)

    return tuple(lambda side=side: {"s": clocked(chat_model.device, side)} for side in (ours, theirs))


def trained(chat_model: ChatModel, given: Rows, phase: str) -> tuple[Callable[[], Phases], ...]:
    """A training: ours and the plain loop."""
    plan = recipe(chat_model)
    ours, plain = Ours(chat_model, given, plan), Plain(chat_model, given, plan, by_length=True)
    return tuple(lambda side=side: {"s": side()[phase]} for side in (ours, plain))


def measured(turns: int, folder: Path) -> Iterator[dict[str, object]]:
    """All points of all curves."""

    def model(vocabulary: int = VOCABULARY) -> ChatModel:
        path = folder / str(vocabulary)
        if not path.exists():
            save(path, WIDTH, DEPTH, vocab_size=vocabulary)
        return load_chat_model(path, device="cpu", dtype="float32")

    usual = model()
    for name, (_, values) in CURVES.items():
        for value in values:
            if name in ("variants", "layer"):
                variants, depth = (value, DEPTH // 2) if name == "variants" else (VARIANTS, value)
                sides = losses(usual, rows(ROWS, LENGTH, VOCABULARY), variants, depth)
            elif name == "vocabulary":
                sides = trained(model(value), rows(ROWS, LENGTH, value), CACHED)
            elif name == "length":
                sides = trained(usual, rows(ROWS, value, VOCABULARY), CACHED)
            else:
                sides = trained(usual, rows(value, LENGTH, VOCABULARY), "two epochs")
            found = turn_by_turn(sides[0], {"theirs": sides[1]}, turns)["theirs"]["s"]
            point = {"curve": name, "value": value, "ours_s": found.ours, "baseline_s": found.baseline}
            print(json.dumps(point), file=sys.stderr, flush=True)
            yield point


def draw(points: list[dict[str, object]], path: Path) -> None:
    """One panel for each curve, both axes logarithmic."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "narrows"
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(CURVES), figsize=(15, 3), layout="constrained")
    for panel, (name, (label, values)) in zip(panels, CURVES.items(), strict=True):
        some = [point for point in points if point["curve"] == name]
        for side, colour, mark in (("baseline_s", "#d55e00", "s"), ("ours_s", "#0072b2", "o")):
            panel.plot(values, [one[side] for one in some], color=colour, marker=mark, label=side[:-2])
        panel.set(xscale="linear" if name == "layer" else "log", yscale="log", xlabel=label)
        panel.set_xticks(values, [f"{value:,}" for value in values])
        panel.minorticks_off()
    panels[0].set_ylabel("seconds")
    panels[0].legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measure all curves, write and draw them."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--turns", type=int, default=3)
    asked.add_argument("--out", type=Path, default=Path("benchmarks/growth.json"))
    asked.add_argument("--figure", type=Path, default=Path("docs/performance-growth.svg"))
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        points = list(measured(given.turns, Path(folder)))
    facts = {"machine": machine(torch.device("cpu")), "points": points}
    given.out.write_text(json.dumps(facts, indent=1) + "\n")
    draw(points, given.figure)


if __name__ == "__main__":
    main()
