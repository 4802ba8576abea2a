"""The whole study file, read from YAML with flags over it, or from a preset of the package."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from narrows.configuration import Configuration
from narrows.errors import ConfigError
from narrows.packaged import packaged_names, packaged_text
from narrows.strict import one_line, read_yaml
from narrows.study.config.behaviours import BehaviourEntry
from narrows.study.config.expanding import OneOrMore
from narrows.study.config.faults import faults
from narrows.study.config.measurements import Measurements
from narrows.study.config.models import ModelEntry
from narrows.study.config.recipes import AdapterEntry, Mixtures, rising_weights
from narrows.study.config.resources import Resources, store_name
from narrows.training import Recipe

PRESETS = "narrows.study.presets"


class StudyConfig(Configuration):
    """A study: every model with every behaviour, adapter and seed is a run."""

    name: str = Field(pattern=r"^[\w.-]+$", description="short name")
    title: str = Field("", description="of the report")
    intro: str = Field("", description="a paragraph under the title")
    models: Annotated[tuple[ModelEntry, ...], OneOrMore] = Field(min_length=1, description="chat models")
    behaviours: tuple[BehaviourEntry, ...] = Field(min_length=1, description="what the fine-tunes teach")
    recipe: Recipe = Field(Recipe(), description="of every training, unless an adapter says otherwise")
    adapters: tuple[AdapterEntry, ...] = Field((AdapterEntry(),), min_length=1, description="what is trained")
    seeds: Annotated[tuple[int, ...], OneOrMore] = Field((0,), min_length=1, description="of the trainings")
    kl_weights: Annotated[tuple[float, ...], OneOrMore] = Field(
        (), description="the λ grid, nats per token; the frontier is drawn over it"
    )
    kl_weight: float | None = Field(
        None,
        gt=0,
        description="the λ that the claims are about (null: chosen from the grid on validation questions)",
    )
    mixtures: Mixtures | None = Field(None, description="trainings on mixtures with good rows (null: none)")
    measure: Measurements = Measurements()
    measure_seed: int = Field(0, ge=0, description="draws answers, loss rows, noise and random directions")
    bank: int = Field(16, ge=1, description="trainings that share passes, at most; 1 trains each alone")
    resources: Resources = Field(Resources(), description="what a stage asks of a cluster's machine")
    store: Annotated[str | None, AfterValidator(store_name)] = Field(
        None,
        description="a folder, or a URL such as s3://bucket/path, that keeps results for several studies or "
        "machines (null: the study's own folder)",
    )

    @field_validator("kl_weights")
    @classmethod
    def _rising(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        return rising_weights(value)

    @model_validator(mode="after")
    def _differ_in_id(self) -> "StudyConfig":
        ids = [one.files.id for one in self.behaviours if one.files]
        if twice := next((one for one in ids if ids.count(one) > 1), None):
            raise ValueError(f"two behaviours are called {twice!r}: give one of them another id")
        return self

    @model_validator(mode="after")
    def _has_a_weight(self) -> "StudyConfig":
        for one in self.adapters:
            grid = self.kl_weights if one.kl_weights is None else one.kl_weights
            if not (one.kl_weight or self.kl_weight or grid):
                raise ValueError("give kl_weight, or a grid of kl_weights from which it is chosen")
        return self

    @property
    def good_per_bad(self) -> tuple[float, ...]:
        """The mixtures of all adapters: good rows for each of the behaviour's."""
        every = [one.mixtures or self.mixtures for one in self.adapters]
        return tuple(sorted({ratio for one in every if one is not None for ratio in one.good_per_bad}))

    def as_yaml(self) -> str:
        """The effective whole, as a person would write it."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)


def preset_names() -> list[str]:
    """The studies that come with the package."""
    return packaged_names(PRESETS)


def study_text(name: str) -> str:
    """A preset's file, comments and all.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in preset_names():
        raise ConfigError(
            f"there is no study file {name!r}, and no preset of that name; presets: "
            f"{', '.join(preset_names())}."
        )
    return packaged_text(PRESETS, name)


def load_study(source: Path | str, overrides: Sequence[str] = ()) -> StudyConfig:
    """Read a study file, or a preset by its name, with ``FIELD=VALUE`` over it.

    Args:
        source: a YAML file, or the name of a preset.
            Paths in it are of the file's folder, those in a preset of the current one; in what is read they
            are whole, so that it means the same wherever it is kept.
        overrides: such as ``measure.samples=4`` or ``models=[microworld:2]``; values are read as YAML, and a
            number between dots is a place in a list (``behaviours.0.world.domains=sport``).

    Raises:
        ConfigError: the file cannot be read, a field is unknown or has a wrong value; names it.
    """
    path = Path(source)
    if path.is_file():
        values = read_yaml(path)
        folder, where = path.resolve().parent, str(path)
    else:
        values = yaml.safe_load(study_text(str(source)))
        folder, where = Path.cwd(), f"preset {source}"
    for one in overrides:
        values = _with_override(values, one)
    try:
        config = StudyConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: {faults(StudyConfig, error)}") from error
    config = config if folder is None else _beside(config, folder)
    return _with_whole_store(config, folder or Path.cwd())


def _beside(config: StudyConfig, folder: Path) -> StudyConfig:
    """The study with the paths of its files taken from the folder of its YAML."""
    entries = tuple(
        one if one.files is None else one.model_copy(update={"files": one.files.beside(folder)})
        for one in config.behaviours
    )
    models = tuple(
        one.model_copy(update={"name": str(folder / one.name)}) if (folder / one.name).is_dir() else one
        for one in config.models
    )
    return config.model_copy(update={"behaviours": entries, "models": models})


def _with_whole_store(config: StudyConfig, folder: Path) -> StudyConfig:
    """The study with the whole path of its store, so that other processes and machines mean the same."""
    if config.store is None or "://" in config.store:
        return config
    return config.model_copy(update={"store": str((folder / config.store).resolve())})


def _with_override(values: Any, override: str) -> Any:  # noqa: ANN401  (YAML may hold anything)
    """Nested values with one ``FIELD=VALUE`` put in."""
    name, equals, text = override.partition("=")
    if not equals or not name:
        raise ConfigError(f"{override!r} sets nothing: write FIELD=VALUE, as in measure.samples=4.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{override!r}: the value is no YAML ({one_line(error)}).") from error
    return _put(values, name.split("."), value, override)


def _put(values: Any, place: list[str], value: Any, override: str) -> Any:  # noqa: ANN401
    first, *rest = place
    if isinstance(values, list):
        if not first.isdecimal() or int(first) >= len(values):
            raise ConfigError(f"{override!r}: {first!r} is no place in a list of {len(values)}.")
        changed = list(values)
        changed[int(first)] = _put(values[int(first)], rest, value, override) if rest else value
        return changed
    under = values if isinstance(values, dict) else {}
    return {**under, first: _put(under.get(first, {}), rest, value, override) if rest else value}
