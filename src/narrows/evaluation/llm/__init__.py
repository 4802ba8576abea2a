"""Language models as judges and as models under test, through Inspect.

``judge`` is a model with its ``rubrics``; it is asked (``asking``) once for each message, its ``replies`` are
kept on disk as they come, ``scoring`` reads a verdict from a reply, and ``logs`` are Inspect's, there and
back. ``scorers`` are the same judges in anybody's Inspect task, ``task`` is the paper's evaluation as one,
and ``provider`` (with ``batching``) lets Inspect run adapted models.
"""
