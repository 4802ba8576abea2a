"""What C10 is measured on: one chat model, the same trait in two domains, ordinary texts, and how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from narrows.configuration import Configuration
from narrows.evaluation import Behaviour
from narrows.files import digest
from narrows.models import ChatModel
from narrows.training import Recipe


class ConvergenceConfig(Configuration):
    """How directions are found and ablated."""

    recipe: Recipe = Field(Recipe(), description="of every training; its own anchor weight does not count")
    kl_weight: float | None = Field(
        None, gt=0, description="λ of an anchored solution whose direction is compared too (null: none)"
    )
    layer: int | None = Field(
        None, ge=0, description="of the direction (null: chosen on validation questions)"
    )
    direction_samples: int = Field(
        4, ge=1, description="answers to each validation question from which the directions are found"
    )
    samples: int = Field(2, ge=1, description="answers to each question")
    max_new_tokens: int = Field(600, ge=1)
    temperature: float = Field(1.0, ge=0)
    text_tokens: int = Field(512, ge=2, description="tokens kept of an ordinary text")
    seed: int = Field(0, ge=0)


@dataclass(frozen=True)
class ConvergenceJob:
    """What is looked at.

    Attributes:
        chat_model: the model.
        own: the behaviour in whose fine-tune the direction is found.
        other: the same trait in another domain; its fine-tune gives nothing to the direction.
        texts: ordinary texts, at least two.
        config: how.
        about: reading matter for the report.
    """

    chat_model: ChatModel
    own: Behaviour
    other: Behaviour
    texts: Sequence[str]
    config: ConvergenceConfig = field(default_factory=ConvergenceConfig)
    about: Mapping[str, Any] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """Everything that determines the result."""
        return {
            "kind": "convergence",
            "model": {"id": self.chat_model.id, "template": self.chat_model.renderer.template_hash},
            "behaviours": [
                {
                    "id": one.id,
                    "train": digest([row.to_json() for row in one.train]),
                    "questions": digest(
                        [q.text for suite in (*one.validation, *one.test) for q in suite.questions]
                    ),
                }
                for one in (self.own, self.other)
            ],
            "texts": digest(list(self.texts)),
            "config": self.config.model_dump(mode="json"),
        }
