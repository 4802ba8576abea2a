"""Doing a plan: which task comes next, and who does it.

``scheduling`` keeps the order and survives failures, whoever does the work: ``local`` processes on this
machine, one for each device, or those of a Ray ``cluster`` on many (``joining`` it, and what is done at its
``remote`` end). ``running`` does a whole study.
"""
