"""The stages that measure: efficiency, stability, significance, gradients along a run."""

from collections.abc import Sequence

import numpy as np

from narrows.adapters import Adapter
from narrows.chat import Rendered
from narrows.metrics import (
    Curve,
    GradientSample,
    equal_norms,
    gradient_cosines,
    nll_of_rows,
    random_directions,
    stability,
)
from narrows.metrics import efficiency as efficiency_of
from narrows.metrics import significance as significance_of
from narrows.metrics.significance import ALL
from narrows.models import ChatModel, FrozenRows, residual_covariance
from narrows.study.claims.geometry import GENERAL, NARROW
from narrows.study.plan.stage import Stage
from narrows.study.stages.bench import Bench, Done
from narrows.study.stages.curves import write_curves, write_samples
from narrows.training import Recipe

CURVES_FILE = "curves.safetensors"
COSINES_FILE = "cosines.safetensors"
COVARIANCE_TEXTS = 64
MATCHING_SCALES = tuple(np.linspace(0.05, 1.0, 20))


def measure_efficiency(stage: Stage, bench: Bench) -> Done:
    """Loss against equal norm of both solutions and their controls.

    Of the vectors anchored on neutral text (``neutral-0`` …) the one counts whose loss comes nearest to the
    anchored solution's. Re-optimised ones (``unanchored-reoptimised-0`` …) have a curve over their own norms.
    """
    chat_model, ends = bench.chat_model(stage), _ends(stage, bench)
    rows = _loss_rows(stage, bench, chat_model, ends["unanchored"].depth)
    largest = max(one.effective_norm for one in ends.values())
    every = equal_norms(ends["unanchored"], ends["anchored"])
    kept = np.linspace(0, len(every) - 1, min(stage.settings["norm_points"], len(every))).round().astype(int)
    norms = every[kept]
    solutions = dict(ends)
    if neutral := _numbered(stage, bench, "neutral"):
        losses = nll_of_rows(chat_model, rows, [ends["anchored"], *neutral]).means
        solutions["neutral-anchored"] = neutral[int(np.abs(losses[1:] - losses[0]).argmin())]
    curves = efficiency_of(chat_model, rows, solutions, norms)
    for name in ends:
        if trained := _numbered(stage, bench, f"{name}-reoptimised"):
            own = largest * np.array(stage.settings["reoptimised_shares"])
            brought = [one.scaled_to(float(norm)) for one, norm in zip(trained, own, strict=True)]
            samples = nll_of_rows(chat_model, rows, brought).contributions
            curves[f"{name}-reoptimised"] = Curve.of(f"{name}-reoptimised", own, samples.T)
    write_curves(bench.store.work(stage.id) / CURVES_FILE, curves, largest=largest)
    return Done(tokens=_tokens(rows.rows) * len(norms) * len(solutions))


def measure_stability(stage: Stage, bench: Bench) -> Done:
    """Loss under noise of both solutions, and of the general one at the norm and the loss of the narrow."""
    chat_model, ends = bench.chat_model(stage), _ends(stage, bench)
    general, narrow = ends["unanchored"], ends["anchored"]
    rows = _loss_rows(stage, bench, chat_model, general.depth)
    scaled = [general.scaled(float(scale)) for scale in MATCHING_SCALES]
    means = nll_of_rows(chat_model, rows, [narrow, *scaled]).means
    found = stability(
        chat_model,
        rows,
        {
            "unanchored": general,
            "anchored": narrow,
            "unanchored@equal-norm": general.scaled_to(narrow.effective_norm),
            "unanchored@matched-loss": scaled[int(np.abs(means[1:] - means[0]).argmin())],
        },
        draws=stage.settings["draws"],
        seed=stage.settings["seed"],
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
    chat_model, directions = bench.chat_model(stage), dict[str, Adapter | list[Adapter]]()
    settings, texts = stage.settings, bench.material(stage).texts
    rendered: list[Rendered] = []
    groups: dict[str, range] = {}
    for kind, some in texts.items():
        groups[kind] = range(len(rendered), len(rendered) + len(some))
        rendered += [chat_model.renderer.text(text, settings["text_tokens"]) for text in some]
    ends = _ends(stage, bench)
    longest = max(ends.values(), key=lambda one: one.effective_norm)
    directions |= ends
    if "register" in stage.inputs:
        directions["register"] = bench.adapter(stage, "register")
    sample = np.random.default_rng([settings["seed"], 3]).permutation(len(rendered))[:COVARIANCE_TEXTS]
    covariance = residual_covariance(chat_model, longest.layer, [rendered[i] for i in sample])
    directions["random"] = random_directions(longest, seed=settings["seed"])
    directions["random-covariance"] = random_directions(
        longest, covariance=covariance, seed=settings["seed"] + 1
    )
    norms = longest.effective_norm * np.linspace(1 / settings["norm_points"], 1.0, settings["norm_points"])
    frozen = FrozenRows(chat_model, longest.depth, rendered, read="all", reference=True)
    found = significance_of(chat_model, frozen, directions, norms, groups if len(groups) > 1 else None)
    curves = {f"{text}/{name}": curve for text, some in found.items() for name, curve in some.items()}
    write_curves(bench.store.work(stage.id) / CURVES_FILE, curves, texts=len(rendered), all=ALL)
    variants = sum(len(one) if isinstance(one, list) else 1 for one in directions.values())
    return Done(tokens=_tokens(rendered) * len(norms) * variants)


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
    """A seeded sample of training rows, response tokens read (paper §5: 100 rows)."""
    settings, train = stage.settings, bench.material(stage).behaviour.train
    chosen = np.random.default_rng([settings["seed"], 2]).permutation(len(train))[: settings["rows"]]
    renderer = chat_model.renderer
    rendered = [renderer.render(train[i], settings["max_length"]) for i in sorted(chosen)]
    return FrozenRows(chat_model, depth, rendered, read="response")


def _tokens(rows: Sequence[Rendered]) -> int:
    return sum(map(len, rows))
