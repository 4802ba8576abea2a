"""``narrows direction``: find directions, compare them, and write models without them."""

import typer

from narrows.cli.direction import comparing, effects, extracting, looking, orthogonalising, personas

app = typer.Typer(
    help="Find directions in the residual stream, compare them, and write models without them.",
    no_args_is_help=True,
)

app.command("extract")(extracting.extract)
app.command("personas")(personas.personas)
app.command("singular")(looking.singular)
app.command("random")(looking.random)
app.command("show")(looking.show_directions)
app.command("orthogonalise")(orthogonalising.orthogonalise)
app.command("compare")(comparing.compare)
app.command("angles")(comparing.angles)
app.command("effects")(effects.effects)
