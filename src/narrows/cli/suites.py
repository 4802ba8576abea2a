"""``narrows suites``: the question suites that come with the package."""

from dataclasses import asdict

from narrows.cli import options
from narrows.cli.output import print_json, show, show_line
from narrows.cli.running import working
from narrows.cli.tables import plain_table


def suites(as_json: options.Json = False) -> None:
    """List the question suites that come with narrows: name, questions, what for.

    `narrows evaluate --suite NAME` asks one, or all of a group.

    Example: `narrows suites`
    """
    with working():
        from narrows.evaluation.suites import GROUPS, shipped_suites

        found = shipped_suites()
    if as_json:
        groups = {one.name: [name for name, some in GROUPS.items() if one.name in some] for one in found}
        print_json([asdict(one) | {"groups": groups[one.name]} for one in found])
        return
    table = plain_table("Question suites", "name", "what for", "questions", words=2)
    for one in found:
        table.add_row(one.name, one.about, str(one.questions))
    show(table, "")
    for name, members in GROUPS.items():
        show_line(f"{name} stands for {', '.join(members)}.")
