"""A catalogue of files that are damaged or meant to do harm, by kind."""

from hostile_files.adapters import adapters, directions, peft_folders, published_vectors
from hostile_files.case import ROWS, Case
from hostile_files.folders import models, reports, runs
from hostile_files.judged import answers_twice, logs, replies, results, rubrics
from hostile_files.questions import chats, protocols
from hostile_files.rows import lines_of_messages, other_rows, texts
from hostile_files.tables import configs, personas, tables


def every_case() -> list[Case]:
    """The whole catalogue."""
    makers = (
        *(lines_of_messages, other_rows, texts, configs, personas, tables, protocols, chats),
        *(results, answers_twice, logs, rubrics, replies),
        *(adapters, directions, published_vectors, peft_folders, runs, models, reports),
    )
    return [case for make in makers for case in make()]


__all__ = ["ROWS", "Case", "every_case"]
