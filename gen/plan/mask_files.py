"""Finds the lesion masks of real images by the names that `shards make` turns into ids."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from dermforge.common.clear_names import HIDDEN
from dermforge.common.errors import UserError
from dermforge.common.regular_file import leaves
from shards.ingest.files.kinds import MASK_ENDINGS
from shards.ingest.files.naming import id_of

#: What to do where the ids are digests, and so no mask has the name of its image.
HASHED = (
    "; the ids of these images are digests: names.csv in their private folder says whose they are, and a mask needs "
    "the id"
)
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


class MaskFiles:
    """A folder of masks: each has the name of its image, or its id, and may have one of `MASK_ENDINGS` after it.

    Masks in sub-folders count as images in sub-folders do.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UserError(
                f"{folder} is not a folder; expected one with a mask for each image, white where the lesion is"
            )
        self.folder = folder

    def find(self, image: str) -> Path:
        """The mask of the image with this id.

        Raises
        ------
        UserError
            There is none, there are several, or it is a link to a file outside the folder.
        """
        found = [path for path in self._by_id.get(image, []) if path.is_file()]
        named = [path for path in found if path.stem == image] or found
        if not found:
            raise UserError(
                f"no mask of {image} in {self.folder}; expected {image}.png, or the name of its image, white where the "
                f"lesion is{HASHED if HIDDEN.fullmatch(image) else ''}"
            )
        if len(named) > 1:
            raise UserError(
                f"{named[0]} and {named[1]} may both be the mask of {image}; call the right one {image}.png"
            )
        (mask,) = named
        if mask.is_symlink() and leaves(mask, self.folder):
            raise UserError(f"mask {mask} is a link to a file outside the folder; copy that file here")
        return mask

    @cached_property
    def _by_id(self) -> dict[str, list[Path]]:
        known: dict[str, list[Path]] = {}
        for path in sorted(p for p in self.folder.rglob("*") if p.suffix.lower() in SUFFIXES):
            whole = path.relative_to(self.folder).with_suffix("")
            names = {str(whole), whole.name}
            names |= {name.removesuffix(ending) for name in names for ending in MASK_ENDINGS}
            for one in {id_of(name) for name in names}:
                known.setdefault(one, []).append(path)
        return known
