"""What all configurations have in common, whoever reads them and from where."""

from pydantic import BaseModel, ConfigDict


class Configuration(BaseModel):
    """A configuration, or a part of one.

    Unknown names are refused, so that a slip of the pen is not a default; numbers are finite; nothing changes
    once it is read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
