"""``narrows study``: one YAML file, from the plan to the report."""

import typer

from narrows.cli.study import planning, running, showing

app = typer.Typer(
    help="Studies: models × behaviours × adapters × λ × seeds in one YAML file, from the plan to the report.",
    no_args_is_help=True,
)
app.command("plan")(planning.plan)
app.command("run")(running.run)
app.command("status")(showing.status)
app.command("show")(showing.show)
app.command("report")(showing.report)
app.command("stage")(running.stage)
app.command("presets")(showing.presets)
