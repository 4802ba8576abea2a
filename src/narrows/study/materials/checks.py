"""Whether a behaviour has what a study wants of it, before anything is trained."""

from narrows.errors import ConfigError, DataError
from narrows.evaluation import IN_DOMAIN
from narrows.study.config import StudyConfig
from narrows.study.config.runs import RunSpec
from narrows.study.materials.material import Material


def check_enough(material: Material, config: StudyConfig, run: RunSpec) -> None:
    """Refuse a run that could not end, with the field that would have to change.

    Raises:
        DataError: too few rows for the gradients.
        ConfigError: λ is to be chosen, and no question asks about anything outside the domain, or none is
            kept for it.
    """
    behaviour, measure = material.behaviour, config.measure
    name = f"behaviour {behaviour.id!r}"
    needed = measure.gradient_groups * measure.gradient_rows
    if measure.gradients and len(behaviour.train) < needed:
        raise DataError(
            f"{name} has {len(behaviour.train)} training rows, and measure.gradient_groups × gradient_rows "
            f"asks for {needed}: lower one of the two, or set measure.gradients to false."
        )
    if run.kl_weight is not None:
        return
    if not behaviour.validation:
        raise ConfigError(
            f"{name}: λ is to be chosen on validation questions, and validation_share is 0: give kl_weight, "
            "or a share above 0."
        )
    if all(suite.name == IN_DOMAIN for suite in behaviour.validation):
        raise ConfigError(
            f"{name}: λ is chosen by what shows outside the domain, and no suite asks about that: add suites "
            "(open, or another domain's), or give kl_weight."
        )
