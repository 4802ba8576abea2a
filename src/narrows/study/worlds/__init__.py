"""A causal test: the same study in worlds that differ in who writes harmful advice.

``models`` pre-trains a family of worlds through the executors of studies, ``study.yaml`` is what is then done
in each of them, ``running`` does both, ``row`` has the numbers of one run, ``relations`` what goes together
across worlds, ``predictions`` what was expected (``clauses``: how that is decided), ``results`` has all of
it, and ``gathering`` puts those of several places together.
"""
