"""The field's YAML files of questions and judges' prompts (paper §4), as they are published."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, get_args

from narrows.errors import ConfigError, DataError
from narrows.evaluation.questions import Question, Suite
from narrows.evaluation.suites.items import HIGH, Item
from narrows.strict import one_line, read_yaml_list

Variant = Literal["plain", "json", "template"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
PLAIN: tuple[Variant, ...] = ("plain",)

_TYPES = ("free_form_judge_0_100", "free_form")
_FIELDS = ("id", "type", "system", "paraphrases", "samples_per_paraphrase", "judge", "judge_prompts")
_PROMPTS = ("prompt", "template")


@dataclass(frozen=True)
class Protocol:
    """What one of the field's files says about asking and judging.

    Attributes:
        suite: its questions; None for a file of judges' prompts alone.
        samples: answers to each paraphrase, or None if the file does not say. The paper asks 50 times,
            whatever the file says.
        judge: the judge model's name as it is written there, or None.
        prompts: the judges' prompts by metric: templates with ``{answer}`` and mostly ``{question}`` in them.
            Other braces stand for themselves, so fill a template in one pass over these two names only.
        high_score: which end of its scale, 0 or 100, is the trained behaviour, by metric; metrics about which
            the file does not say are not in it.
    """

    suite: Suite | None
    samples: int | None = None
    judge: str | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    high_score: Mapping[str, int] = field(default_factory=dict)


def read_protocol(
    path: Path | str, *, suite: str | None = None, variants: Collection[Variant] = PLAIN
) -> Protocol:
    """Read a file of one of three shapes, told apart by its first item.

    * Items with ``id``, ``type``, ``paraphrases`` and, if wanted, ``system``, ``samples_per_paraphrase``,
      ``judge`` and ``judge_prompts`` (a mapping metric → template). Items whose id ends in ``_json`` or
      ``_template`` are variants of the others. A paraphrase is a question; those of one item and its variants
      are one cluster. Samples, judge and prompts must be the same in all chosen items.
    * Items ``{id, question}``.
    * Judges' prompts: items of one key, metric → template. ``high_score`` may stand beside the metric as a
      second key; inside it, if the metric's value is a mapping of ``prompt`` (or ``template``) and
      ``high_score``; or as an item of its own. A single item of its own that is the list's first or last
      holds for every metric that has no other; else such an item holds for the metric just before it.

    Args:
        path: the YAML file.
        suite: the suite's name (default: the file's, without its ending).
        variants: which items of the first shape count; the paper's rates are on the plain ones.

    Raises:
        ConfigError: a variant is unknown.
        DataError: the file is missing, too large or unreadable, is of none of these shapes, or an item is
            malformed; names the file, the item and the field.
    """
    path = Path(path)
    if strangers := [one for one in variants if one not in VARIANTS]:
        raise ConfigError(f"variant is {strangers[0]!r}; choose from {', '.join(VARIANTS)}.")
    items = [Item.of(path, number, value) for number, value in enumerate(read_yaml_list(path), start=1)]
    name = suite or path.stem
    if "paraphrases" in items[0].values or "type" in items[0].values:
        return _items(items, name, variants)
    if "question" in items[0].values:
        return Protocol(_suite(path, name, _plain_questions(items, name)))
    if "id" in items[0].values:
        raise items[0].wrong("has an 'id' but neither 'paraphrases' nor a 'question'")
    return _judges(items)


@dataclass(frozen=True)
class _Settings:
    """How an item is asked and judged; the fields' names are those of the file."""

    samples_per_paraphrase: int | None
    judge: str | None
    judge_prompts: Mapping[str, str]


def _items(items: Sequence[Item], name: str, variants: Collection[Variant]) -> Protocol:
    """The first shape: items with paraphrases."""
    _distinct(items)
    path, questions, first = items[0].path, list[Question](), None
    for item in items:
        base, variant = _variant(item.id)
        asked, settings = list(_paraphrases(item, name, base)), _settings(item)
        if variant not in variants:
            continue
        questions += asked
        first = first or settings
        for one in fields(settings):
            if getattr(settings, one.name) != getattr(first, one.name):
                raise item.wrong(
                    f"{one.name!r} is not that of the items before it; the questions of a file are asked and "
                    "judged alike, so cut it into several files"
                )
    if first is None:
        raise DataError(f"{path} has no items of the variants {', '.join(sorted(variants)) or 'asked for'}.")
    return Protocol(
        _suite(path, name, questions), first.samples_per_paraphrase, first.judge, first.judge_prompts
    )


def _variant(name: str) -> tuple[str, Variant]:
    """An item's id without its variant, and the variant."""
    for variant in VARIANTS[1:]:
        if name.endswith(f"_{variant}"):
            return name.removesuffix(f"_{variant}"), variant
    return name, "plain"


def _paraphrases(item: Item, suite: str, cluster: str) -> Iterator[Question]:
    """An item's questions."""
    item.only(_FIELDS)
    kind = item.required("type")
    if kind not in _TYPES:
        raise item.wrong(f"'type' is {one_line(repr(kind))}; read here are {', '.join(_TYPES)}")
    texts = item.required("paraphrases")
    if not isinstance(texts, list) or not texts:
        raise item.wrong(f"'paraphrases' is {one_line(repr(texts))} where a list of texts was expected")
    system = item.values.get("system")
    for number, text in enumerate(texts, start=1):
        yield Question(
            id=item.id if len(texts) == 1 else f"{item.id}-{number}",
            text=item.text("paraphrases", text),
            suite=suite,
            cluster=cluster,
            system=None if system is None else item.text("system", system),
        )


def _settings(item: Item) -> _Settings:
    """How an item is asked and judged."""
    samples, judge = item.values.get("samples_per_paraphrase"), item.values.get("judge")
    prompts = item.values.get("judge_prompts", {})
    if samples is not None and (type(samples) is not int or samples < 1):
        raise item.wrong(
            f"'samples_per_paraphrase' is {one_line(repr(samples))}; it must be a whole number from 1"
        )
    if not isinstance(prompts, Mapping):
        raise item.wrong("'judge_prompts' is no mapping of metrics to templates")
    return _Settings(
        samples,
        None if judge is None else item.text("judge", judge),
        {item.metric(name): item.template(name, text) for name, text in prompts.items()},
    )


def _plain_questions(items: Sequence[Item], suite: str) -> list[Question]:
    """The second shape: items with an id and a question."""
    _distinct(items)
    for item in items:
        item.only(("id", "question"))
    return [
        Question(item.id, item.text("question", item.required("question")), suite, item.id) for item in items
    ]


def _judges(items: Sequence[Item]) -> Protocol:
    """The third shape: judges' prompts."""
    alone = [item for item in items if item.values.keys() == {HIGH}]
    for_all = alone[0] if len(alone) == 1 and alone[0] in (items[0], items[-1]) else None
    prompts: dict[str, str] = {}
    high: dict[str, int] = {}
    latest: str | None = None
    for item in items:
        if item is for_all:
            continue
        if item in alone:
            if latest is None or latest in high:
                raise item.wrong(f"{HIGH!r} follows no metric that is without one")
            high[latest] = item.high(item.values[HIGH])
            continue
        latest, prompt, score = _judge(item)
        if latest in prompts:
            raise item.wrong(f"the metric {latest!r} was there before")
        prompts[latest] = prompt
        high |= {} if score is None else {latest: score}
    if not prompts:
        raise items[0].wrong("the file has no metric with a template, so it is none of judges' prompts")
    if for_all is not None:
        high = dict.fromkeys(prompts, for_all.high(for_all.values[HIGH])) | high
    return Protocol(None, prompts=prompts, high_score=high)


def _judge(item: Item) -> tuple[str, str, int | None]:
    """A metric's name, its template, and which end of its scale is the trained behaviour."""
    names = [name for name in item.values if name != HIGH]
    if len(names) != 1:
        raise item.wrong(f"has {len(names)} keys where one metric with its template was expected")
    metric = item.metric(names[0])
    value, scores = item.values[metric], [item.values[HIGH]] if HIGH in item.values else []
    if isinstance(value, Mapping):
        texts = [text for name, text in value.items() if name in _PROMPTS]
        if len(texts) != 1 or not value.keys() <= {*_PROMPTS, HIGH}:
            raise item.wrong(f"{metric!r} must hold one of {' or '.join(_PROMPTS)}, and may hold {HIGH}")
        scores += [value[HIGH]] if HIGH in value else []
        value = texts[0]
    if len(scores) > 1:
        raise item.wrong(f"{metric!r} has two of {HIGH!r}")
    return metric, item.template(metric, value), item.high(scores[0]) if scores else None


def _distinct(items: Sequence[Item]) -> None:
    """Refuse an id that stands twice."""
    seen: dict[str, int] = {}
    for item in items:
        if (first := seen.setdefault(item.id, item.number)) != item.number:
            raise item.wrong(f"has the id of item {first}")


def _suite(path: Path, name: str, questions: Sequence[Question]) -> Suite:
    """A suite whose errors name the file."""
    try:
        return Suite(name, tuple(questions))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
