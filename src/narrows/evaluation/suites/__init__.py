"""Question suites: those that come with the package, and the choice of what an evaluation asks.

``questions`` holds the shipped suites, one YAML file a suite, all in our own words. ``shipped`` reads them,
``choosing`` puts an evaluation together from shipped suites and from files; ``protocols`` reads the field's
own files of questions and judges' prompts (``items`` is one item of them).
"""

from narrows.evaluation.suites.choosing import choose_suites
from narrows.evaluation.suites.shipped import GROUPS, ShippedSuite, shipped_suite, shipped_suites

__all__ = ["GROUPS", "ShippedSuite", "choose_suites", "shipped_suite", "shipped_suites"]
