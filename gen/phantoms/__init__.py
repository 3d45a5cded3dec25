"""Procedural pictures of skin with a lesion whose truth is known.

A phantom has a morphological class, a skin-tone group, a lesion mask and the drawer's own parameters.
Phantoms replace patients in the demonstration and the tests; they show no disease.
"""

from gen.phantoms.draw import CLASSES, Phantom, draw

__all__ = ["CLASSES", "Phantom", "draw"]
