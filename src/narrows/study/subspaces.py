"""Is the general direction one of many? Vectors trained at right angles to one another, and what each does.

The first vector is the ordinary general solution. Each further one is trained on the same rows from nothing,
kept at a right angle to all before. The curve of their rates says how many directions still cause the
behaviour.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from narrows.adapters import Adapter, SteeringVector
from narrows.errors import ConfigError
from narrows.evaluation import CHAT, IN_DOMAIN, OPEN, OUT_OF_DOMAIN, Answer, Behaviour, rates
from narrows.files import claim_run_folder, digest, write_json
from narrows.metrics import RowLosses, nll_of_rows
from narrows.models import ChatModel, FrozenRows
from narrows.progress import bar
from narrows.statistics import mean_interval
from narrows.study import summarising
from narrows.study.answering import judged_answers
from narrows.study.claims import RateTable
from narrows.study.job import READING_FILE, SUMMARY_FILE
from narrows.summary import Evaluation, Solution, Subspace, Summary
from narrows.training import Recipe, TrainingRun, train
