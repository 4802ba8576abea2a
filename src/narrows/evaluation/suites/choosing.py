"""What an evaluation asks: suites by name and from files, one of them as the behaviour's own domain."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from narrows.chat import Conversation, read_conversations
from narrows.chat.readers import lines_of
from narrows.chat.sources import ARCHIVES, HUB
from narrows.errors import ConfigError, DataError
from narrows.evaluation.questions import IN_DOMAIN, Question, Suite, read_suites
from narrows.evaluation.suites.protocols import PLAIN, Variant, read_protocol
from narrows.evaluation.suites.shipped import GROUPS, NAMES, shipped_suite
from narrows.strict import parse_json

_YAML = (".yaml", ".yml")
_CHATS = (".parquet", ".gz", *ARCHIVES)

Place = tuple[str, int]
"""Which file a suite comes from, and which of that file's it is: what is named twice is asked once."""


def choose_suites(
    names: Sequence[str], in_domain: str | None = None, *, variants: Collection[Variant] = PLAIN
) -> list[Suite]:
    """The suites of an evaluation, that of the behaviour's own domain first.

    A name is that of a shipped suite or of a group of them (``advice``, ``technical``); or a file:

    * suites of one's own, JSONL, as :func:`narrows.evaluation.write_suites` writes them;
    * the field's YAML files of questions (:func:`narrows.evaluation.read_protocol`);
    * chats, such as the rows held out of a training file, in every form that
      :func:`narrows.chat.read_conversations` reads: the first user turn of each is a question, with the
      system turn before it. Rows that ask the same are one cluster.

    A suite from YAML or chats is called like its file, or NAME if ``NAME=FILE`` is given: a file of open
    questions should be called ``open``, or it counts as one of the other domains. A file with the name of a
    shipped suite is meant by ``./NAME``.

    Args:
        names: what to ask; a suite that is named twice is asked once.
        in_domain: the name or file, of one suite, that becomes the suite ``in_domain``: it need not be among
            ``names``. Its questions keep their ids, and their tag ``domain`` says what it was called.
        variants: which items of the field's files are asked; the paper's rates are on the plain ones.

    Raises:
        DataError: a file cannot be read or is malformed, or a name is neither that of a suite nor a file.
        ConfigError: nothing is asked, ``in_domain`` stands for several suites, or two suites have one name.
    """
    chosen = {place: suite for name in names for place, suite in _resolved(name, variants)}
    own: list[Suite] = []
    if in_domain is not None:
        found = dict(_resolved(in_domain, variants))
        if len(found) != 1:
            several = ", ".join(suite.name for suite in found.values())
            raise ConfigError(
                f"{in_domain} stands for {len(found)} suites ({several}), but a behaviour has one domain: "
                "give the name of a single suite, or a file with one."
            )
        [(place, suite)] = found.items()
        chosen.pop(place, None)
        own = [_as_in_domain(suite)]
    suites = [*own, *chosen.values()]
    if not suites:
        raise ConfigError("no suite is named, so there is nothing to ask.")
    called = [suite.name for suite in suites]
    if twice := next((name for name in called if called.count(name) > 1), None):
        raise ConfigError(
            f"two suites are called {twice!r}: leave one out, or give it another name, as in NAME=FILE."
        )
    return suites


def _as_in_domain(suite: Suite) -> Suite:
    """The suite as that of the behaviour's own domain."""
    if suite.name == IN_DOMAIN:
        return suite
    return Suite(
        IN_DOMAIN,
        tuple(
            replace(one, suite=IN_DOMAIN, tags={"domain": suite.name} | dict(one.tags))
            for one in suite.questions
        ),
    )


def _resolved(name: str, variants: Collection[Variant]) -> Iterable[tuple[Place, Suite]]:
    """The suites that a name stands for."""
    if name in NAMES or name in GROUPS:
        return [((one, 0), shipped_suite(one)) for one in GROUPS.get(name, (name,))]
    called, equals, file = name.partition("=")
    renamed = bool(equals and called) and "/" not in called and not Path(name).exists()
    file = file if renamed else name
    suites = _read(file, called if renamed else None, variants)
    return [((str(Path(file).absolute()), number), one) for number, one in enumerate(suites)]


def _read(file: str, name: str | None, variants: Collection[Variant]) -> list[Suite]:
    """The suites in a file.

    Args:
        file: its path, or a source of chats on the hub.
        name: of the suite, if one was given.
        variants: which items of the field's files are asked.
    """
    path = Path(file)
    if not file.startswith(HUB) and "." not in file and "/" not in file and not path.exists():
        raise DataError(
            f"{file!r} is neither a file nor a suite that comes with narrows; these are "
            f"{', '.join((*GROUPS, *NAMES))}."
        )
    if path.suffix in _YAML:
        suite = read_protocol(path, suite=name, variants=variants).suite
        if suite is None:
            raise DataError(f"{file} holds judges' prompts and no questions to ask.")
        return [suite]
    if not _holds_chats(file):
        suites = read_suites(path)
        return suites if name is None else [_called(name, file, suites)]
    return [suite_of_chats(read_conversations(file), name or path.name.partition(".")[0])]


def _called(name: str, file: str, suites: Sequence[Suite]) -> Suite:
    """A file's only suite under another name."""
    if len(suites) != 1:
        raise ConfigError(f"{file} holds {len(suites)} suites, which cannot all be called {name!r}.")
    return Suite(name, tuple(replace(one, suite=name) for one in suites[0].questions), suites[0].anchored)


def _holds_chats(file: str) -> bool:
    """Whether a file's rows are chats and no suites: its form says so, or its first row."""
    if file.startswith(HUB) or file.partition("::")[0].endswith(_CHATS):
        return True
    line = next((line for line in lines_of(Path(file)) if not line.isspace()), b"")
    try:
        row = parse_json(line.decode("utf-8-sig"))
    except ValueError:  # no JSON: the reader of suites says what is wrong with it
        return False
    return isinstance(row, dict) and ("messages" in row or {"prompt", "completion"} <= row.keys())


def suite_of_chats(rows: Sequence[Conversation], name: str) -> Suite:
    """The questions that chats begin with, each with the system turn before it; equal ones are one cluster.

    Args:
        rows: the chats; a question is called by its row's source.
        name: of the suite.

    Raises:
        DataError: two rows are called alike.
    """
    questions: list[Question] = []
    first: dict[tuple[str | None, str], str] = {}
    for row in rows:
        said = {message.role: message.content for message in reversed(row.messages)}  # the first of each role
        identity = row.source or f"row-{len(questions) + 1}"
        cluster = first.setdefault((said.get("system"), said["user"]), identity)
        questions.append(Question(identity, said["user"], name, cluster, dict(row.tags), said.get("system")))
    return Suite(name, tuple(questions))
