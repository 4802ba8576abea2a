"""Which chat models a study is about."""

import re
from typing import Any

from pydantic import Field, model_validator

from narrows.configuration import Configuration
from narrows.models.quantised import Bits


class ModelEntry(Configuration):
    """A chat model; a plain text in the file is its name."""

    name: str = Field(
        min_length=1,
        description="a checkpoint folder, a name on the hub, or microworld:SEED for a shipped one",
    )
    label: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9-]+$",
        description="short name, used in ids and files (null: made of the name)",
    )
    revision: str | None = Field(None, description="a branch, tag or commit on the hub")
    dtype: str = Field("auto", description="what it computes in (auto: the checkpoint's own)")
    quantise: Bits | None = Field(None, description="hold the layers' weights in 4bit or 8bit")
    template_options: dict[str, Any] = Field({}, description="for the chat template")

    @model_validator(mode="before")
    @classmethod
    def _a_name_alone(cls, value: Any) -> Any:  # noqa: ANN401
        return {"name": value} if isinstance(value, str) else value

    @property
    def slug(self) -> str:
        """The name in letters that ids and files can hold."""
        if self.label is not None:
            return self.label
        name = self.name.rstrip("/")
        short = "/".join(name.split("/")[-2:]) if "/" in name else name
        return re.sub(r"[^A-Za-z0-9-]+", "-", short).strip("-") or "model"
