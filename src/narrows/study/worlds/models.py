"""The chat models of a family of worlds, pre-trained several at a time through the executors of studies."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from narrows.errors import ConfigError
from narrows.microworld import WorldConfig, pretrain
from narrows.microworld.family import Family, Member
from narrows.microworld.pretrain import TRAINING_FILE, snapshot_folder
from narrows.study.execution.scheduling import Outcome, Workers, schedule
from narrows.study.plan.stage import Stage, Task
from narrows.study.store import Store


@dataclass(frozen=True)
class WorldModel:
    """One pre-training of a family.

    Attributes:
        member: the world.
        seed: of the pre-training.
        config: the world's whole configuration.
        folder: where the checkpoint is, or will be.
        snapshots: steps at which it is kept too.
    """

    member: Member
    seed: int
    config: WorldConfig
    folder: Path
    snapshots: tuple[int, ...]

    @property
    def name(self) -> str:
        """The world and the seed: the folder's name."""
        return self.folder.name

    @property
    def finished(self) -> bool:
        """Whether it is pre-trained."""
        return (self.folder / TRAINING_FILE).is_file()

    @property
    def checkpoints(self) -> dict[str, tuple[int | None, Path]]:
        """The steps and folders of what can be studied, by name; the end of the pre-training has no step."""
        found: dict[str, tuple[int | None, Path]] = {}
        for step in self.snapshots:
            if (folder := snapshot_folder(self.folder, step)).is_dir():
                found[f"{self.name}-step-{step}"] = (step, folder)
        return found | {self.name: (None, self.folder)}

    @property
    def stage(self) -> Stage:
        """The pre-training as a stage."""
        world = self.config.model_dump(mode="json", by_alias=True)
        source = {"config": world, "folder": str(self.folder), "snapshots": list(self.snapshots)}
        settings = {"world": {**world, "name": ""}, "seed": self.seed}
        return Stage("pretraining", f"pre-training {self.name}", self.name, "", "", settings, source=source)


def models_of(family: Family, folder: Path, only: Collection[str] = ()) -> list[WorldModel]:
    """The models of a family, each seed of every world in turn.

    Args:
        family: the worlds.
        folder: a folder in it is, or will be, a model's; one that was pre-trained elsewhere can be put there.
        only: names of worlds; empty is all.

    Raises:
        ConfigError: a name is none of the family's worlds.
        RunFolderError: a folder holds a model of another world or seed.
    """
    known = [member.name for member in family.members]
    if unknown := [name for name in only if name not in known]:
        raise ConfigError(f"{family.name} has no world {unknown[0]!r}; there are {', '.join(known)}.")
    found = [
        model for model in _all_models(family, folder.resolve()) if not only or model.member.name in only
    ]
    for model in found:
        if model.finished:
            # Does nothing more than see that it is this one.
            pretrain(model.config, model.folder, seed=model.seed)
    return found


def _all_models(family: Family, folder: Path) -> Iterator[WorldModel]:
    for place in range(len(family.seeds)):
        for member in family.members:
            seeds = member.seeds or family.seeds
            if place < len(seeds):
                name = f"{member.name}-{seeds[place]}"
                snapshots = member.snapshots if place == 0 else ()
                yield WorldModel(member, seeds[place], family.config(member), folder / name, snapshots)


def pretrain_models(
    models: Sequence[WorldModel], store: Store, workers: Callable[[Store], Workers]
) -> Outcome:
    """Pre-train what is not there yet; one that was stopped goes on.

    Args:
        models: of a family.
        store: keeps what each took, and the logs.
        workers: makes those who do it; not called where nothing is left.
    """
    left = [model for model in models if not model.finished]
    for model in left:
        store.forget(model.stage.id)  # its folder was taken away since
    if not left:
        return Outcome()
    team = workers(store)
    try:
        return schedule([Task((model.stage,)) for model in left], team, store)
    finally:
        team.close()
