"""The stages that measure: efficiency, stability, significance, gradients along a run."""

from collections.abc import Sequence

from narrows.adapters import Adapter
from narrows.chat import Rendered
from narrows.metrics import GradientSample, gradient_cosines
from narrows.metrics.significance import ALL
from narrows.models import ChatModel, FrozenRows
from narrows.study.claims.geometry import GENERAL, NARROW
from narrows.study.measures import (
    efficiency_with_controls,
    loss_rows,
    nearest_in_loss,
    norm_grid,
    significance_with_controls,
    stability_with_controls,
)
from narrows.study.plan.stage import Stage
from narrows.study.stages.bench import Bench, Done
from narrows.study.stages.curves import write_curves, write_samples
from narrows.training import Recipe

CURVES_FILE = "curves.safetensors"
COSINES_FILE = "cosines.safetensors"


def measure_efficiency(stage: Stage, bench: Bench) -> Done:
    """Loss against equal norm of both solutions and their controls.

    Of the vectors anchored on neutral text (``neutral-0`` …) the one counts whose loss comes nearest to the
    anchored solution's. Re-optimised ones (``unanchored-reoptimised-0`` …) have a curve over their own norms.
    """
    chat_model, ends = bench.chat_model(stage), _ends(stage, bench)
    rows = _loss_rows(stage, bench, chat_model, ends["unanchored"].depth)
    largest = max(one.effective_norm for one in ends.values())
    norms = norm_grid(ends["unanchored"], ends["anchored"], stage.settings["norm_points"])
    solutions = dict(ends)
    if neutral := _numbered(stage, bench, "neutral"):
        solutions["neutral-anchored"] = nearest_in_loss(chat_model, rows, neutral, ends["anchored"])
    reoptimised = {
        f"{name}-reoptimised": [
            one.scaled_to(share * largest)
            for one, share in zip(trained, stage.settings["reoptimised_shares"], strict=True)
        ]
        for name in ends
        if (trained := _numbered(stage, bench, f"{name}-reoptimised"))
    }
    curves = efficiency_with_controls(chat_model, rows, solutions, reoptimised, norms)
    write_curves(bench.store.work(stage.id) / CURVES_FILE, curves, largest=largest)
    return Done(tokens=_tokens(rows.rows) * len(norms) * len(solutions))


def measure_stability(stage: Stage, bench: Bench) -> Done:
    """Loss under noise of both solutions, and of the general one at the norm and the loss of the narrow."""
    chat_model, ends, settings = bench.chat_model(stage), _ends(stage, bench), stage.settings
    rows = _loss_rows(stage, bench, chat_model, ends["unanchored"].depth)
    found = stability_with_controls(
        chat_model,
        rows,
        ends["unanchored"],
        ends["anchored"],
        draws=settings["draws"],
        seed=settings["seed"],
    )
    curves = {name: curve.loss for name, curve in found.items()}
    write_curves(
        bench.store.work(stage.id) / CURVES_FILE,
        curves,
        unperturbed={name: curve.unperturbed for name, curve in found.items()},
        chat={name: curve.chat for name, curve in found.items()},
    )
    points = sum(curve.samples.size for curve in curves.values())
    return Done(tokens=_tokens(rows.rows) * points)


def measure_significance(stage: Stage, bench: Bench) -> Done:
    """KL against norm on each type of text, of both solutions, another behaviour's, and random directions."""
    settings, texts, solutions = stage.settings, bench.material(stage).texts, _ends(stage, bench)
    if "register" in stage.inputs:
        solutions["register"] = bench.adapter(stage, "register")
    found = significance_with_controls(
        bench.chat_model(stage),
        texts,
        solutions,
        text_tokens=settings["text_tokens"],
        points=settings["norm_points"],
        seed=settings["seed"],
    )
    # Where there is one type of text it is all that there is, and its name says nothing.
    kinds = [ALL] if len(texts) == 1 else list(found.curves)
    curves = {f"{kind}/{name}": curve for kind in kinds for name, curve in found.curves[kind].items()}
    write_curves(bench.store.work(stage.id) / CURVES_FILE, curves)
    return Done(tokens=found.tokens)


def follow_gradients(stage: Stage, bench: Bench) -> Done:
    """The cosine of the loss gradient with two other runs' ends, along the unanchored run."""
    chat_model, settings = bench.chat_model(stage), stage.settings
    sample = GradientSample(
        settings["every"], settings["groups"], settings["rows_of_group"], settings["seed"]
    )
    recipe = Recipe.model_validate(settings["recipe"])
    checkpoints = bench.trajectory(stage, "followed")
    found = gradient_cosines(
        chat_model,
        checkpoints,
        bench.material(stage).behaviour.train,
        recipe,
        {GENERAL: bench.adapter(stage, GENERAL), NARROW: bench.adapter(stage, NARROW)},
        sample=sample,
    )
    write_samples(
        bench.store.work(stage.id) / COSINES_FILE,
        {"norms": found.norms, **{f"cosines/{name}": one for name, one in found.cosines.items()}},
        {
            "steps": found.steps,
            "resultant": found.resultant,
            "dimensions": found.dimensions,
            "frames": found.frames,
        },
    )
    return Done()


def _ends(stage: Stage, bench: Bench) -> dict[str, Adapter]:
    return {name: bench.adapter(stage, name) for name in ("unanchored", "anchored")}


def _numbered(stage: Stage, bench: Bench, name: str) -> list[Adapter]:
    """The inputs ``name-0``, ``name-1``, …, as far as there are any."""
    found: list[Adapter] = []
    while (role := f"{name}-{len(found)}") in stage.inputs:
        found.append(bench.adapter(stage, role))
    return found


def _loss_rows(stage: Stage, bench: Bench, chat_model: ChatModel, depth: int) -> FrozenRows:
    settings = stage.settings
    return loss_rows(
        chat_model,
        bench.material(stage).behaviour.train,
        depth,
        count=settings["rows"],
        max_length=settings["max_length"],
        seed=settings["seed"],
    )


def _tokens(rows: Sequence[Rendered]) -> int:
    return sum(map(len, rows))
