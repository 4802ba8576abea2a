"""Rubrics: what a judge is asked about an answer. Ours are a data file that a user can replace."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from narrows.errors import ConfigError, DataError
from narrows.evaluation.suites.protocols import read_protocol
from narrows.files import read_user_text
from narrows.strict import one_line, read_yaml

OURS = Path(__file__).with_name("rubrics.yaml")
LONGEST = 20_000
"""Characters of an answer that a judge reads: about seven times the protocol's longest (600 tokens)."""
CUT = "\n[the rest is left out]"

_SLOT = re.compile(r"\{(question|answer)\}")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Rubric:
    """What a judge is asked, for one score column.

    Attributes:
        name: of the score column.
        template: the message to the judge; ``{question}`` and ``{answer}`` stand for the texts, and any other
            brace for itself.
        description: what the scale means, for people.
    """

    name: str
    template: str
    description: str = ""

    def prompt(self, question: str, answer: str) -> str:
        """The message to the judge about one answer.

        The texts are put in at once: a brace in a text is never a slot. An answer is cut after
        :data:`LONGEST` characters, and what no encoding can say (half of a surrogate pair) is replaced.
        """
        shown = answer if len(answer) <= LONGEST else answer[:LONGEST] + CUT
        texts = {"question": question, "answer": shown}
        filled = _SLOT.sub(lambda slot: texts[slot[1]], self.template)
        return filled.encode("utf-8", "replace").decode("utf-8")


def rubrics_of(names: Sequence[str], file: Path | None = None) -> list[Rubric]:
    """Rubrics by name, in the order asked for.

    Args:
        names: of our rubrics (``aligned``, ``coherent``, ``technical``, and ``correct`` and ``topic`` with a
            domain: ``correct_medical``), or of those in ``file``.
        file: rubrics that win over ours of the same name: a YAML mapping from a name to a template, or to
            ``template`` and ``description``; or one of the field's lists with judges' prompts.

    Raises:
        ConfigError: the file cannot be used, there is no rubric of a name, or a name comes twice.
        DataError: the field's list cannot be used.
    """
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"The rubric {twice[0]!r} is asked for twice: name each once.")
    known = dict(_ours()) | (read_rubrics(file) if file is not None else {})
    return [_rubric(name, known) for name in names]


def read_rubrics(path: Path) -> dict[str, Rubric]:
    """The rubrics in a YAML file, by name; of the field's files, the judges' prompts.

    Raises:
        ConfigError: it cannot be read, or a rubric has no ``{answer}``; names the file and the rubric.
        DataError: the field's list is malformed, or holds no judges' prompts.
    """
    if _is_list(path):
        prompts = read_protocol(path).prompts
        if not prompts:
            raise DataError(f"{path} holds questions and no judges' prompts: leave it out, or add some.")
        return {name: Rubric(name, template) for name, template in prompts.items()}
    found = {}
    for name, value in read_yaml(path).items():
        where = f"{path}: the rubric {one_line(repr(name))}"
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{where} needs a name of small letters, digits and underscores.")
        fields: Mapping[str, Any] = {"template": value} if isinstance(value, str) else value
        if not isinstance(fields, Mapping) or not isinstance(fields.get("template"), str):
            raise ConfigError(f"{where} needs a template: a text with {{question}} and {{answer}} in it.")
        if strangers := sorted(map(str, fields.keys() - {"template", "description"})):
            raise ConfigError(f"{where} has a field {one_line(strangers[0])}; it may have a description.")
        if "{answer}" not in fields["template"]:
            raise ConfigError(f"{where} never shows the judge an answer: put {{answer}} where it stands.")
        found[name] = Rubric(name, fields["template"], str(fields.get("description", "")))
    return found


def rubric_names() -> list[str]:
    """Our rubrics; those that need a domain end in ``_DOMAIN``."""
    return [f"{name}_DOMAIN" if _needs_domain(rubric) else name for name, rubric in _ours().items()]


def _is_list(path: Path) -> bool:
    """Whether a YAML file holds a list, as the field's do, by its first line that says something."""
    lines = (line.strip() for line in read_user_text(path).split("\n"))
    return next((line[0] in "-[" for line in lines if line.strip("-") and line[0] not in "#%"), False)


@cache
def _ours() -> Mapping[str, Rubric]:
    return read_rubrics(OURS)


def _needs_domain(rubric: Rubric) -> bool:
    return "{domain}" in rubric.template


def _rubric(name: str, known: Mapping[str, Rubric]) -> Rubric:
    """A rubric by its name, or by ``name_domain``."""
    if name in known and not _needs_domain(known[name]):
        return known[name]
    stem, _, domain = name.partition("_")
    if domain and _NAME.fullmatch(name) and stem in known and _needs_domain(known[stem]):
        general, words = known[stem], domain.replace("_", " ")
        return Rubric(
            name,
            general.template.replace("{domain}", words),
            general.description.replace("{domain}", words),
        )
    raise ConfigError(f"There is no rubric {one_line(repr(name))}; there are {', '.join(rubric_names())}.")
