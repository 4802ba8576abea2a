"""Plans: from a study file to stages, and from stages to tasks.

``stage`` is what a stage is and how it is addressed, ``build`` makes the plan of a study and ``run_plan``
that of one run (on ``run_measurements``, on ``run_stages``) with its ``trainings``; ``tasks`` puts trainings
together that share passes.
"""
