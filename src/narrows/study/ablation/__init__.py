"""A fine-tune measured before and after directions are ablated in it, beside random ones.

``job`` is what an ablation is measured on and which cells there are, ``cells`` what is measured of each, and
``running`` does it.
"""

from narrows.study.ablation.cells import AblationCell
from narrows.study.ablation.job import AblationConfig, AblationJob
from narrows.study.ablation.running import Ablations, ablate_and_measure

__all__ = ["AblationCell", "AblationConfig", "AblationJob", "Ablations", "ablate_and_measure"]
