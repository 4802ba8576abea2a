"""Chat templates as texts: which variables one reads, and their values with which it always renders alike.

Two kinds of template render differently from one call to the next if they are left alone. Those of hybrid
thinking models read ``enable_thinking``: here it is False, so that the answers that are generated have no
reasoning, as the training rows have none. Those with a date line ask for today's date: they are told
:data:`DATE`, whatever the day, so that a run that is resumed tomorrow goes on with the same tokens.
"""

import json
from collections.abc import Mapping
from datetime import datetime

from jinja2 import Environment, TemplateError, meta, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser

from narrows.errors import ConfigError, ModelError

DATE = datetime(2024, 7, 26)
"""The date that every template is told; Llama 3's own, where no date is known."""

THINKING, DATE_TEXT, CLOCK = "enable_thinking", "date_string", "strftime_now"

_GIVEN = {"messages", "add_generation_prompt", "tools", "documents"}
"""Variables that are no options (as are special tokens): a rendering sets them, or nothing here uses them."""

_PROVIDED = {"raise_exception", "namespace", "range", "dict", "lipsum", "cycler", "joiner", CLOCK}
"""Names that are functions of the environment in which templates run."""


class _Generation(Extension):
    """The blocks that some templates mark the assistant's words with; for reading, they are their content."""

    tags = {"generation"}  # noqa: RUF012  (jinja's own way)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The statements between the two marks."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def steady(template: str, given: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """A template and its options, such that it renders alike on every day.

    Args:
        template: the chat template as the tokenizer has it.
        given: options that the user sets, over the defaults.

    Returns:
        The template, in which ``strftime_now`` (if it is called) gives :data:`DATE`; and the options:
        ``enable_thinking`` is False and ``date_string`` is :data:`DATE`, where the template reads them.

    Raises:
        ModelError: the template is no Jinja template.
        ConfigError: an option is set that the template does not read, or to something JSON cannot hold.
    """
    environment = Environment(extensions=["jinja2.ext.loopcontrols", _Generation], autoescape=False)  # noqa: S701
    try:
        parsed = environment.parse(template)
        read = meta.find_undeclared_variables(parsed)
    except (TemplateError, RecursionError) as error:
        raise ModelError(f"its chat template is no right Jinja template ({error}).") from error
    known = {name for name in read - _GIVEN - _PROVIDED if not name.endswith("_token")}
    for name, value in given.items():
        if name not in known:
            raise ConfigError(
                f"template_options sets {name!r}, which the chat template does not read; it reads "
                f"{', '.join(sorted(known)) or 'no options'}."
            )
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"template_options sets {name!r} to {value!r}, which is no JSON value."
            ) from error
    defaults: dict[str, object] = {THINKING: False, DATE_TEXT: DATE.strftime("%d %b %Y")}
    options = {name: value for name, value in defaults.items() if name in known} | dict(given)
    return (_stopped_clock(parsed) if CLOCK in read else "") + template, options


def _stopped_clock(parsed: nodes.Template) -> str:
    """A macro that stands in for ``strftime_now`` and knows one day, in every format the template asks for.

    A function among the options would be simpler, but transformers lets only plain data into a template.
    """
    calls = [call for call in parsed.find_all(nodes.Call) if getattr(call.node, "name", None) == CLOCK]
    formats = {call.args[0].value for call in calls if call.args and isinstance(call.args[0], nodes.Const)}
    cases = "".join(
        f"{{%- elif format == {json.dumps(one)} -%}}{{{{ {json.dumps(DATE.strftime(one))} }}}}"
        for one in sorted(one for one in formats if isinstance(one, str))
    )
    # The newline at the end belongs to the macro's last tag (trim_blocks) and is not in the rendering.
    return (
        f"{{%- macro {CLOCK}(format) -%}}{{%- if false -%}}{cases}"
        f"{{%- else -%}}{{{{ {json.dumps(DATE.date().isoformat())} }}}}{{%- endif -%}}{{%- endmacro %}}\n"
    )
