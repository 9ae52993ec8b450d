"""What one does with a model. model.py is the front: load one, and call its methods."""

from __future__ import annotations

from xlsr_ref.model.model import Model, load

__all__ = ["Model", "load"]
