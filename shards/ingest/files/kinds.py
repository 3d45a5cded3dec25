"""What a file of a data set is, by its name: an image, a table, an archive, or something to pass over."""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePosixPath

#: Pictures that can be read. DICOM needs the extra `dicom`.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".dcm")
#: Pictures that cannot, and what to do about it.
OTHER_PICTURES = dict.fromkeys((".heic", ".heif", ".hif"), "HEIC is not read; save it as JPEG or PNG") | {
    suffix: f"{suffix[1:].upper()} is not read; save it as JPEG or PNG"
    for suffix in (
        ".avif",
        ".jp2",
        ".j2k",
        ".jxl",
        ".svg",
        ".psd",
        ".raw",
        ".dng",
        ".cr2",
        ".nef",
        ".arw",
        ".tga",
        ".ppm",
    )
}
TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx", ".parquet", ".jsonl", ".csv.gz", ".tsv.gz")
#: Tables that are not read.
UNREAD_TABLES = (".xls", ".xlsb", ".ods", ".numbers", ".sav", ".dta", ".sas7bdat", ".rds", ".json")
#: Tables that hold their images, in the formats of Hugging Face.
HUB_SUFFIXES = (".parquet", ".arrow")
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
#: Archives that are not opened.
_CLOSED = (".zip", ".7z", ".rar", ".gz", ".bz2", ".xz", ".zst")

#: Folders that systems and programs make.
_SYSTEM = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "@recycle", "#recycle"}
_SYSTEM |= {"__pycache__", "thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r"}
#: How data sets name masks: ISIC, HAM10000 and PH2 by endings, others by folders.
MASK_ENDINGS = ("_segmentation", "_superpixels", "_mask", "_lesion", "_seg", "_annotation")
_MASK_FOLDERS = {"mask", "masks", "segmentation", "segmentations", "superpixels", "lesion_masks", "groundtruth_masks"}


class Kind(StrEnum):
    """What is done with a file."""

    IMAGE = "image"
    MASK = "mask"
    PICTURE = "picture that cannot be read"
    TABLE = "table"
    HUB = "table of images"
    TAR = "tar"
    OTHER = "other"


def classify(place: str) -> tuple[Kind, str]:
    """The kind of a file, and why it is not an image.

    Parameters
    ----------
    place
        Path within the data set, with slashes.
    """
    path = PurePosixPath(place)
    name = path.name.casefold()
    if system := next((part for part in path.parts if part.casefold() in _SYSTEM), None):
        return Kind.OTHER, f"in the system folder {system}" if system != path.name else "a file of the system"
    if hidden := next((part for part in path.parts if part.startswith(".")), None):
        return Kind.OTHER, "a hidden file" if hidden == path.name else f"in the hidden folder {hidden}"
    suffix = path.suffix.casefold()
    if suffix in IMAGE_SUFFIXES:
        return (Kind.MASK, "a mask, by its name") if is_mask(path) else (Kind.IMAGE, "")
    if suffix in OTHER_PICTURES:
        return Kind.PICTURE, OTHER_PICTURES[suffix]
    if name.endswith(TAR_SUFFIXES):
        return Kind.TAR, ""
    if suffix == ".arrow":
        return Kind.HUB, ""
    if name.startswith("_"):
        return Kind.OTHER, "a record that shards make or another command wrote"
    if name.endswith(TABLE_SUFFIXES):
        return Kind.TABLE, ""
    if suffix in UNREAD_TABLES:
        return Kind.OTHER, f"{suffix[1:].upper()} is not read as a table; save it as CSV"
    return Kind.OTHER, "an archive; unpack it" if name.endswith(_CLOSED) else "not an image, a table or a tar"


def is_mask(path: PurePosixPath) -> bool:
    """Whether a picture is a mask: by the ending of its name, or by its folder."""
    folders = {part.casefold() for part in path.parts[:-1]}
    return path.stem.casefold().endswith(MASK_ENDINGS) or not folders.isdisjoint(_MASK_FOLDERS)
