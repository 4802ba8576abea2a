"""The study file: models × behaviours × adapters × λ × seeds, what is measured, and the report's options.

``file`` reads it and puts defaults, the file and flags over one another; ``models`` and ``behaviours`` say
what a study is about, ``recipes`` how solutions are trained, ``measurements`` what is taken of them,
``resources`` what that asks of machines, and ``runs`` expands the lists into runs. ``presets`` holds the
studies that come with the package.
"""

from narrows.study.config.behaviours import BehaviourEntry, FileBehaviour, WorldBehaviours
from narrows.study.config.file import StudyConfig, load_study, preset_names, study_text
from narrows.study.config.measurements import Measurements
from narrows.study.config.models import ModelEntry
from narrows.study.config.recipes import AdapterEntry, Mixtures
from narrows.study.config.resources import Resources
from narrows.study.config.runs import RunSpec, runs_of

__all__ = [
    "AdapterEntry",
    "BehaviourEntry",
    "FileBehaviour",
    "Measurements",
    "Mixtures",
    "ModelEntry",
    "Resources",
    "RunSpec",
    "StudyConfig",
    "WorldBehaviours",
    "load_study",
    "preset_names",
    "runs_of",
    "study_text",
]
