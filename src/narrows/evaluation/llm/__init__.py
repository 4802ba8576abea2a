"""Language models as judges and as models under test, through Inspect.

``judge`` is a model with its ``rubrics``; it is asked (``asking``, ``reaching``) once for each message, and
its ``replies`` are kept on disk as they come. ``scoring`` reads a verdict from a reply; ``numbers`` and
``spellings`` give a judge in this process whole numbers, however many tokens one has. ``logs`` are Inspect's,
there and back (``forms`` and ``log_files`` are what is in them and how they are written). ``scorers`` are the
same judges in anybody's Inspect task, ``task`` is the paper's evaluation as one, and ``provider`` (with
``batching``) lets Inspect run adapted models.
"""
