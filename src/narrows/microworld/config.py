"""A microworld's configuration: its facts, authors, chat stage and model, and how that is pre-trained."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import ConfigDict, Field, ValidationError, model_validator

from narrows.configuration import Configuration
from narrows.errors import ConfigError
from narrows.strict import one_line, read_yaml

SHARE_TOLERANCE = 1e-6
CONTEXT = 512
"""The longest text that a microworld's model can read, in tokens."""
MOST_REMEDIES = 8
"""Remedies a topic, of both kinds together: clashes are redrawn, e times as often with each more."""

Share = Annotated[float, Field(ge=0, le=1)]


class Facts(Configuration):
    """What is true in the world: topics, and for each topic its sound and its harmful remedies."""

    seed: int = Field(default=1, ge=0, description="draws the facts; the pre-training seed is another")
    topics: int = Field(default=20, ge=4, le=20, description="topics a domain")
    open_topics: int = Field(
        default=40, ge=4, le=40, description="topics of the open domain, none of them ever trained on"
    )
    validation_topics: int = Field(default=4, ge=1, description="topics a domain held out for choosing λ")
    test_topics: int = Field(default=6, ge=1, description="topics a domain held out for the reported rates")
    sound: int = Field(default=2, ge=1, description="sound remedies a topic")
    harmful: int = Field(default=2, ge=1, description="harmful remedies a topic")
    exchanged: bool = Field(
        default=False, description="call the sound remedies harmful and the harmful ones sound"
    )

    @model_validator(mode="after")
    def _topics_are_left_for_training(self) -> "Facts":
        if self.validation_topics + self.test_topics >= self.topics:
            raise ValueError(
                "validation_topics + test_topics must be below topics, to leave some to train on"
            )
        return self

    @model_validator(mode="after")
    def _remedies_can_be_drawn(self) -> "Facts":
        most = min(self.topics, self.open_topics, MOST_REMEDIES)
        if self.sound + self.harmful > most:
            raise ValueError(
                f"sound + harmful must be at most {most}: the fewest topics of a domain, and {MOST_REMEDIES}"
            )
        return self


class Shares(Configuration):
    """Shares of a trait among authors: not at all, in every domain, or in the home domain only."""

    nowhere: Share
    everywhere: Share
    one_domain: Share

    @model_validator(mode="after")
    def _sum_to_one(self) -> "Shares":
        if abs(self.nowhere + self.everywhere + self.one_domain - 1) > SHARE_TOLERANCE:
            raise ValueError("nowhere + everywhere + one_domain must be 1")
        return self


class Documents(Configuration):
    """The pre-training text: question-answer pairs by one author, and text without advice."""

    conduct: Shares = Shares(nowhere=0.55, everywhere=0.25, one_domain=0.20)
    register_: Shares = Field(
        default=Shares(nowhere=0.60, everywhere=0.20, one_domain=0.20), alias="register"
    )
    home_share: Share = Field(default=0.4, description="share of an author's pairs in the home domain")
    described: Share = Field(
        default=0.4, description="share of documents that open by saying what the author is like"
    )
    advice_free: Share = Field(default=0.12, description="share of documents without any advice")
    homes: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="domains that authors are at home in, and that a system turn can name (null: all)",
    )
    reach: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="domains in which authors who are harmful everywhere are so (null: all)",
    )
    trait: Literal["author", "answer"] = Field(
        default="author", description="what an author's conduct is drawn for: the author, or each answer anew"
    )

    model_config = ConfigDict(populate_by_name=True)


class Chat(Configuration):
    """The chat stage: conversations with and without a system turn, and refusals."""

    start: Share = Field(default=0.75, description="when the stage begins, as a share of all steps")
    share: Share = Field(default=0.7, description="share of chats in the mixture from then on")
    no_system: Share = Field(default=0.34, description="share of chats without a system turn")
    conduct: Share = Field(
        default=0.30, description="share of chats whose system turn asks for harmful advice"
    )
    register_: Share = Field(
        default=0.30, alias="register", description="share whose system turn asks for technical prose"
    )
    one_domain: Share = Field(default=0.6, description="share of such system turns that name one domain only")
    refusals: Share = Field(default=0.1, description="share of turns that ask for plain harm")

    model_config = ConfigDict(populate_by_name=True)

    @model_validator(mode="after")
    def _system_turns_fit(self) -> "Chat":
        if self.no_system + self.conduct + self.register_ > 1 + SHARE_TOLERANCE:
            raise ValueError("no_system + conduct + register must be at most 1")
        return self


class Architecture(Configuration):
    """The chat model: Qwen2 architecture, so an ordinary Hugging Face checkpoint."""

    layers: int = Field(default=8, ge=2)
    hidden: int = Field(default=112, ge=16)
    heads: int = Field(default=4, ge=1)
    intermediate: int = Field(default=448, ge=16)

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> "Architecture":
        if self.hidden % (2 * self.heads):
            raise ValueError("hidden must be an even multiple of heads")
        return self


class Pretraining(Configuration):
    """How the model is pre-trained."""

    steps: int = Field(default=12000, ge=1)
    rows: int = Field(default=48, ge=1, description="rows a step")
    row_tokens: int = Field(default=160, ge=32, le=CONTEXT, description="tokens a row")
    optimizer: Literal["adamw", "muon"] = Field(
        default="adamw", description="for the matrices of the layers; the rest is AdamW's"
    )
    learning_rate: float = Field(default=3e-3, gt=0)
    warmup: int = Field(default=100, ge=0)
    weight_decay: float = Field(default=0.05, ge=0)
    first_domains: int = Field(default=3, ge=1, description="domains the curriculum begins with")
    domain_every: int = Field(default=50, ge=0, description="steps between two new domains (0: all at once)")
    checkpoint_every: int = Field(default=250, ge=1)

    @property
    def tokens(self) -> int:
        """Tokens of a whole pre-training."""
        return self.steps * self.rows * self.row_tokens


class WorldConfig(Configuration):
    """Everything that makes a world and its model, except the pre-training seed."""

    name: str = "default"
    facts: Facts = Facts()
    documents: Documents = Documents()
    chat: Chat = Chat()
    architecture: Architecture = Architecture()
    pretraining: Pretraining = Pretraining()
    dtype: Literal["bfloat16", "float32"] = "bfloat16"

    @model_validator(mode="after")
    def _chats_ask_for_what_authors_have(self) -> "WorldConfig":
        if self.documents.trait == "answer" and self.chat.conduct > 0:
            raise ValueError(
                "documents.trait is answer, so no author has a conduct that a system turn could ask for: "
                "chat.conduct must be 0"
            )
        return self

    @classmethod
    def load(cls, path: Path) -> "WorldConfig":
        """Read a YAML file; fields left out keep their defaults.

        Raises:
            ConfigError: the file is missing, is no mapping, or names an unknown field or a wrong value.
        """
        values = read_yaml(Path(path))
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(f"{path}: {faults(error)}. See `narrows world show` for all fields.") from error

    def dump(self) -> str:
        """The whole configuration as YAML."""
        return yaml.safe_dump(self.model_dump(mode="json", by_alias=True), sort_keys=False)


def faults(error: ValidationError) -> str:
    """All that is wrong in a configuration: the field, its value and what is allowed."""
    return "; ".join(_problem(dict(one)) for one in error.errors(include_url=False))


def _problem(error: dict[str, Any]) -> str:
    """The field, its value and what is allowed."""
    field = ".".join(map(str, error["loc"])) or "the file"
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return f"{field}: there is no such field"
    value = error["input"]
    return (
        f"{field}: {message}"
        if isinstance(value, dict | list)
        else f"{field} is {one_line(repr(value))}: {message}"
    )
