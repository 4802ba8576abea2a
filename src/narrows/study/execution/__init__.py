"""Doing a plan: which task comes next, and who does it.

``scheduling`` keeps the order and survives failures, whoever does the work: ``local`` processes on this
machine, one for each device, or ``ray`` workers on many. ``running`` does a whole study.
"""
