"""Procedural pictures of skin with a lesion whose truth is known.

A phantom has a morphological class, a skin-tone group, a lesion mask and the drawer's own parameters.
Phantoms stand in for patients in the demonstration and the tests; they are no pictures of any disease.
"""

from gen.phantoms.draw import CLASSES, Phantom, draw

__all__ = ["CLASSES", "Phantom", "draw"]
