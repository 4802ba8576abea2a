"""The runs of a study: its lists expanded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from narrows.errors import ConfigError
from narrows.strict import one_line
from narrows.study.config.behaviours import FileBehaviour, WorldBehaviours
from narrows.study.config.file import StudyConfig
from narrows.study.config.models import ModelEntry
from narrows.study.config.recipes import AdapterEntry, Mixtures
from narrows.training import Recipe


@dataclass(frozen=True)
class BehaviourSpec:
    """One behaviour of a study.

    Attributes:
        id: short name.
        domain: where it is taught.
        kind: what is taught.
        source: the entry of the file that it comes from.
    """

    id: str
    domain: str
    kind: str
    source: WorldBehaviours | FileBehaviour


@dataclass(frozen=True)
class RunSpec:
    """One model, behaviour, adapter and seed.

    Attributes:
        id: unique in the study; ids of its solutions begin with it.
        model: the chat model.
        behaviour: what is taught.
        recipe: of the unanchored trainings.
        anchored_recipe: of the anchored ones, without λ.
        adapter: in words: ``steering``, ``lora, rank 1``.
        kl_weights: the λ grid, with the given λ in it.
        kl_weight: the λ that the claims are about; None chooses it on validation questions.
        mixtures: the mixtures that are trained too; None is none.
    """

    id: str
    model: ModelEntry
    behaviour: BehaviourSpec
    recipe: Recipe
    anchored_recipe: Recipe
    adapter: str
    kl_weights: tuple[float, ...]
    kl_weight: float | None
    mixtures: Mixtures | None


def behaviours_of(config: StudyConfig) -> list[BehaviourSpec]:
    """The behaviours, in the file's order.

    Raises:
        ConfigError: two have one id.
    """
    found: dict[str, BehaviourSpec] = {}
    for entry in config.behaviours:
        for one in _expanded(entry.world or _settled(entry.files, config)):
            if one.id in found:
                raise ConfigError(f"two behaviours are called {one.id!r}: give one of them another id.")
            found[one.id] = one
    return list(found.values())


def behaviours_and_controls(config: StudyConfig) -> dict[str, BehaviourSpec]:
    """The study's behaviours by id, and those that are only controls of them.

    Raises:
        ConfigError: two have one id.
    """
    listed = behaviours_of(config)
    controls = [control for one in listed if (control := other_kind(one)) is not None]
    return {one.id: one for one in (*controls, *listed)}


def other_kind(behaviour: BehaviourSpec) -> BehaviourSpec | None:
    """Another behaviour in the same domain, a control: a microworld's other kind; None for a user's own."""
    if isinstance(behaviour.source, FileBehaviour):
        return None
    kind = "technical" if behaviour.kind == "harmful" else "harmful"
    return BehaviourSpec(f"{kind}-{behaviour.domain}", behaviour.domain, kind, behaviour.source)


def runs_of(config: StudyConfig) -> list[RunSpec]:
    """Every model with every behaviour, adapter, rank, layer and seed.

    Raises:
        ConfigError: two behaviours have one id, or an adapter's recipe is wrong.
    """
    runs = []
    for model in config.models:
        for behaviour in behaviours_of(config):
            for entry in config.adapters:
                if entry.kinds is not None and behaviour.kind not in entry.kinds:
                    continue
                runs += list(_runs(config, model, behaviour, entry))
    ids = [run.id for run in runs]
    if twice := next((one for one in ids if ids.count(one) > 1), None):
        raise ConfigError(f"the study holds the run {twice} twice: take one of the two entries out.")
    return runs


def _runs(
    config: StudyConfig, model: ModelEntry, behaviour: BehaviourSpec, entry: AdapterEntry
) -> Iterator[RunSpec]:
    lora = entry.adapter == "lora"
    grid = config.kl_weights if entry.kl_weights is None else entry.kl_weights
    weight = config.kl_weight if entry.kl_weight is None else entry.kl_weight
    for rank in entry.rank if lora else (1,):
        for layer in entry.layer:
            for seed in config.seeds:
                own = {"rank": rank, "seed": seed} | ({} if layer is None else {"layer": layer})
                recipe, anchored = (_recipe(config, entry, own, changes) for changes in ({}, entry.anchored))
                parts = [model.slug, behaviour.id, f"rank-{rank}" if lora else "steering"]
                parts += [f"layer-{layer}"] if len(entry.layer) > 1 else []
                parts += [f"seed-{seed}"] if len(config.seeds) > 1 else []
                yield RunSpec(
                    ".".join(parts),
                    model,
                    behaviour,
                    recipe,
                    anchored,
                    f"lora, rank {rank}" if lora else "steering",
                    tuple(sorted({*grid, *([] if weight is None else [weight])})),
                    weight,
                    entry.mixtures or config.mixtures,
                )


def _recipe(
    config: StudyConfig, entry: AdapterEntry, own: Mapping[str, Any], changes: Mapping[str, Any]
) -> Recipe:
    values = config.recipe.model_dump() | entry.recipe | dict(changes) | {"adapter": entry.adapter, **own}
    try:
        return Recipe.model_validate(values).with_anchor(0.0)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc']))}: {one_line(e['msg'])}" for e in error.errors()]
        raise ConfigError(f"the recipe of adapter {entry.adapter!r}: {'; '.join(faults)}.") from error


def _settled(source: FileBehaviour | None, config: StudyConfig) -> FileBehaviour | None:
    """A user's behaviour, its questions shared out only if λ or the direction of C10 is chosen on some."""
    if source is None:
        return None
    chosen = any((one.kl_weight or config.kl_weight) is None for one in config.adapters)
    domains = {one.files.domain for one in config.behaviours if one.files and one.files.kind == source.kind}
    direction = config.measure.convergence and source.texts is not None and len(domains) > 1
    return source.sharing_out(wanted=chosen or direction)


def _expanded(source: WorldBehaviours | FileBehaviour | None) -> Iterator[BehaviourSpec]:
    if isinstance(source, FileBehaviour):
        yield BehaviourSpec(source.id, source.domain, source.kind, source)
    elif source is not None:
        for kind in source.kinds:
            for domain in source.domains:
                yield BehaviourSpec(f"{kind}-{domain}", domain, kind, source)
