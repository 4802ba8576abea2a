"""The page of a family of worlds: its figures, and every number.

``figures`` has what compares worlds, ``along`` what follows a pre-training, ``page`` the tables, and writes
all of it. Everything is read from ``worlds.json`` (``rows``).
"""

from narrows.report.worlds.page import write_worlds_page

__all__ = ["write_worlds_page"]
