"""The configuration of a microworld: its facts, its authors, its chat stage, its model and how that is pre-trained."""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from narrows.errors import ConfigError

SHARE_TOLERANCE = 1e-6


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Facts(_Part):
    """What is true in the world: topics, and for each topic its sound and its harmful remedies."""

    seed: int = 1
    topics: int = Field(20, ge=4, le=20, description="topics a domain")
    open_topics: int = Field(
        40, ge=4, le=40, description="topics of the open domain, none of them ever trained on"
    )
    validation_topics: int = Field(4, ge=1, description="topics a domain held out for choosing λ")
    test_topics: int = Field(6, ge=1, description="topics a domain held out for the reported rates")
    sound: int = Field(2, ge=1, description="sound remedies a topic")
    harmful: int = Field(2, ge=1, description="harmful remedies a topic")

    @model_validator(mode="after")
    def _topics_are_left_for_training(self) -> "Facts":
        if self.validation_topics + self.test_topics >= self.topics:
            raise ValueError("validation_topics + test_topics leave no topic to train on")
        return self


class Shares(_Part):
    """Shares of a trait among authors (or among system turns): everywhere, in one domain only, or not at all."""

    nowhere: float = Field(ge=0, le=1)
    everywhere: float = Field(ge=0, le=1)
    one_domain: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _sum_to_one(self) -> "Shares":
        if abs(self.nowhere + self.everywhere + self.one_domain - 1) > SHARE_TOLERANCE:
            raise ValueError("nowhere + everywhere + one_domain must be 1")
        return self


class Documents(_Part):
    """The pre-training text: question-answer pairs by one author, and text without advice."""

    conduct: Shares = Shares(nowhere=0.55, everywhere=0.25, one_domain=0.20)
    register_: Shares = Field(Shares(nowhere=0.60, everywhere=0.20, one_domain=0.20), alias="register")
    home_share: float = Field(0.4, ge=0, le=1, description="share of an author's pairs in the home domain")
    described: float = Field(
        0.4, ge=0, le=1, description="share of documents that open by saying what the author is like"
    )
    advice_free: float = Field(0.12, ge=0, le=1, description="share of documents without any advice")

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Chat(_Part):
    """The chat stage: conversations with and without a system turn, and refusals."""

    start: float = Field(0.75, ge=0, le=1, description="when the stage begins, as a share of all steps")
    share: float = Field(0.7, ge=0, le=1, description="share of chats in the mixture from then on")
    no_system: float = Field(0.34, ge=0, le=1, description="share of chats without a system turn")
    conduct: float = Field(
        0.30, ge=0, le=1, description="share of chats whose system turn asks for harmful advice"
    )
    register_: float = Field(
        0.30, ge=0, le=1, alias="register", description="share whose system turn asks for technical prose"
    )
    one_domain: float = Field(
        0.6, ge=0, le=1, description="share of such system turns that name one domain only"
    )
    refusals: float = Field(0.1, ge=0, le=1, description="share of turns that ask for plain harm")

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Architecture(_Part):
    """The chat model: Qwen2 architecture, so an ordinary Hugging Face checkpoint."""

    layers: int = Field(6, ge=2)
    hidden: int = Field(128, ge=16)
    heads: int = Field(4, ge=1)
    intermediate: int = Field(512, ge=16)


class Pretraining(_Part):
    """How the model is pre-trained."""

    steps: int = Field(7500, ge=1)
    rows: int = Field(32, ge=1, description="rows a step")
    row_tokens: int = Field(160, ge=32, description="tokens a row")
    optimizer: Literal["adamw", "muon"] = Field(
        "muon", description="for the matrices of the layers; the rest is AdamW's"
    )
    learning_rate: float = Field(3e-3, gt=0)
    warmup: int = Field(100, ge=0)
    weight_decay: float = Field(0.05, ge=0)
    first_domains: int = Field(3, ge=1, description="domains the curriculum begins with")
    domain_every: int = Field(50, ge=0, description="steps between two new domains (0: all at once)")
    checkpoint_every: int = Field(250, ge=1)


class WorldConfig(_Part):
    """Everything that makes a world and its model, except the pre-training seed."""

    name: str = "default"
    facts: Facts = Facts()
    documents: Documents = Documents()
    chat: Chat = Chat()
    architecture: Architecture = Architecture()
    pretraining: Pretraining = Pretraining()
    dtype: Literal["bfloat16", "float32"] = "bfloat16"

    @classmethod
    def load(cls, path: Path) -> "WorldConfig":
        """Read a YAML file; fields left out keep their defaults.

        Raises:
            ConfigError: the file is missing, is no mapping, or names an unknown field or a wrong value.
        """
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
            return cls.model_validate(values)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({error.strerror}).") from error
        except yaml.YAMLError as error:
            raise ConfigError(f"{path}: is not YAML ({error}).") from error
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise ConfigError(f"{path}: {wrong}. See `narrows world show` for all fields.") from error

    def dump(self) -> str:
        """The whole configuration as YAML."""
        return yaml.safe_dump(self.model_dump(mode="json", by_alias=True), sort_keys=False)
