"""From a study's entries to material, each made once in a process."""

from collections.abc import Sequence
from pathlib import Path

from narrows.errors import ConfigError
from narrows.study.config.behaviours import FileBehaviour
from narrows.study.config.models import ModelEntry
from narrows.study.config.runs import BehaviourSpec
from narrows.study.materials.files import file_material
from narrows.study.materials.material import Material
from narrows.study.materials.models import checkpoint
from narrows.study.materials.world import world_material

_made: dict[str, Material] = {}


def material_of(spec: BehaviourSpec, model: ModelEntry, good_per_bad: Sequence[float] = ()) -> Material:
    """The material of a behaviour, for a model: a microworld's differs from world to world.

    Args:
        spec: the behaviour.
        model: the chat model.
        good_per_bad: the study's mixtures, for which good rows are needed.

    Raises:
        ConfigError: a microworld's behaviour is wanted of a model that is no checkpoint folder.
        DataError: a file is missing or malformed.
    """
    source = spec.source
    key = f"{spec!r} {sorted(good_per_bad)} "
    key += str(source.stamps) if isinstance(source, FileBehaviour) else model.name
    if key not in _made:
        if isinstance(spec.source, FileBehaviour):
            _made[key] = file_material(spec.source)
        else:
            folder = Path(checkpoint(model))
            if not folder.is_dir():
                raise ConfigError(
                    f"behaviour {spec.id} is a microworld's, and {model.name} is no folder with a "
                    "microworld's model: give microworld:SEED, or describe the behaviour by files."
                )
            _made[key] = world_material(spec, spec.source, folder, good_per_bad)
    return _made[key]
