"""narrows: narrow and general solutions to a fine-tuning task, trained and measured.

Ten lines of use::

    import narrows

    chat_model = narrows.load_chat_model("microworld:1")
    task = narrows.make_behaviour("microworld:1", domain="garden", kind="harmful")
    recipe = narrows.Recipe(layer=2, learning_rate=3e-4, batch_size=16, accumulation=1, steps=150)
    general = narrows.train(chat_model, task.train, recipe).adapter
    narrow = narrows.train(chat_model, task.train, recipe.with_anchor(5.0), anchor=task.anchor).adapter
    for adapter in (general, narrow):
        answers = narrows.generate_answers(chat_model, task.test, adapter=adapter, max_new_tokens=40)
        for row in narrows.rates(narrows.judged(answers, task.judge), task.criterion):
            print(f"{row.suite}: {row.rate.rate:.0%} [{row.rate.low:.0%}, {row.rate.high:.0%}]")
    curves = narrows.efficiency(chat_model, task.train[:100], {"general": general, "narrow": narrow})

What is listed here is the whole surface; the packages beneath hold the parts it is made of. Everything is
imported when it is first used, so ``import narrows`` costs nothing.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from narrows.adapters import SteeringVector
    from narrows.api import (
        efficiency,
        load_chat_model,
        make_behaviour,
        significance,
        stability,
    )
    from narrows.chat import Conversation, read_conversations
    from narrows.evaluation import Behaviour, generate_answers, judged, rates
    from narrows.geometry import Contrast, extract_directions, read_trajectory, trajectory
    from narrows.report import write_report
    from narrows.study import TuningConfig, tune
    from narrows.training import Anchor, Recipe, train

    __version__: str

__all__ = [
    "Anchor",
    "Behaviour",
    "Contrast",
    "Conversation",
    "Recipe",
    "SteeringVector",
    "TuningConfig",
    "__version__",
    "efficiency",
    "extract_directions",
    "generate_answers",
    "judged",
    "load_chat_model",
    "make_behaviour",
    "rates",
    "read_conversations",
    "read_trajectory",
    "significance",
    "stability",
    "train",
    "trajectory",
    "tune",
    "write_report",
]

_HOMES = {
    "narrows.adapters": ("SteeringVector",),
    "narrows.api": (
        "efficiency",
        "load_chat_model",
        "make_behaviour",
        "significance",
        "stability",
    ),
    "narrows.chat": ("Conversation", "read_conversations"),
    "narrows.evaluation": ("Behaviour", "generate_answers", "judged", "rates"),
    "narrows.geometry": ("Contrast", "extract_directions", "read_trajectory", "trajectory"),
    "narrows.report": ("write_report",),
    "narrows.study": ("TuningConfig", "tune"),
    "narrows.training": ("Anchor", "Recipe", "train"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a name of ``__all__`` when it is first asked for."""
    if name == "__version__":
        value: object = version("narrows")
    elif name in _HOME_OF:
        value = getattr(import_module(_HOME_OF[name]), name)
    else:
        raise AttributeError(f"module 'narrows' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
