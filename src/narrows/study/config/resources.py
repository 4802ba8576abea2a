"""What a study takes of the machines that it runs on, and where its results go."""

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from narrows.configuration import Configuration


class Resources(Configuration):
    """What one stage asks of a machine of a Ray cluster; a stage computes in as many threads as it has CPUs.

    The numbers are for Ray's bookkeeping: it puts on a machine what fits by them, and holds no stage to them.
    """

    cpus: float = Field(1, gt=0, description="CPU cores of a stage")
    gpus: float = Field(0, ge=0, description="GPUs of a stage that runs a model; 0.5 lets two share one")
    memory_gib: float | None = Field(None, gt=0, description="main memory of a stage (null: not counted)")

    @field_validator("gpus")
    @classmethod
    def _whole_above_one(cls, value: float) -> float:
        if value > 1 and value != round(value):
            raise ValueError("above 1 it must be a whole number")
        return value


def store_name(value: str | None) -> str | None:
    """A folder or URL that may stand in a study file.

    Raises:
        ValueError: it holds a password, or something after a question mark.
    """
    if value is not None and "://" in value:
        parts = urlsplit(value)
        if parts.password or parts.query:
            raise ValueError("must hold no password or query: keys come from the environment only")
    return value
