"""Adapters: the trained parameters, behind one small interface.

``base`` is that interface, ``steering`` the steering vector, ``check`` the self-check that steering does on
a model what it should.
"""

from narrows.adapters.base import Adapter
from narrows.adapters.check import self_check
from narrows.adapters.steering import SteeringVector

__all__ = ["Adapter", "SteeringVector", "self_check"]
