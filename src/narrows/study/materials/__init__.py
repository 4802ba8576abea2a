"""What a study's files and worlds hold: behaviours with their rows, questions and texts, ready to be used.

``material`` is what all of them are, ``world`` makes a microworld's, ``files`` reads a user's, and ``models``
says which model a name stands for, by its bytes, before anything is loaded.
"""

from narrows.study.materials.material import Material, Rows, mixture
from narrows.study.materials.models import fingerprint
from narrows.study.materials.sources import material_of

__all__ = ["Material", "Rows", "fingerprint", "material_of", "mixture"]
