"""``narrows direction``: find directions, compare them, and write models without them."""

import typer

from narrows.cli.direction import comparing, effects

app = typer.Typer(
    help="Find directions in the residual stream, compare them, and write models without them.",
    no_args_is_help=True,
)
app.command("compare")(comparing.compare)
app.command("angles")(comparing.angles)
app.command("effects")(effects.effects)
