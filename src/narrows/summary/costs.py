"""What a study's stages took."""

from narrows.summary.base import Record


class Cost(Record):
    """What one stage of a study took.

    ``stage`` is its id, ``kind`` what it does, ``title`` that in words; ``trainings`` counts what was trained
    in it, ``tokens`` what was read or written. ``peak_memory`` is in bytes: the GPU's, or on a CPU the
    process's own, in which other stages may have run before. Null where it was not measured.
    """

    stage: str
    kind: str
    title: str
    run: str | None
    seconds: float
    trainings: int = 0
    tokens: int | None = None
    peak_memory: int | None = None
    device: str = ""
