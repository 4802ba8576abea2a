"""What each kind of stage does: one module a concern, and here the table of them.

``bench`` is what they work with; ``training``, ``asking``, ``choosing``, ``measuring``, ``converging`` and
``deciding`` do them; ``curves`` keeps raw numbers.
"""
