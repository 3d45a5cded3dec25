"""The certificate of use in a bundle, where there is one: `evalsuite use` makes it, and `gen attach` puts it there."""

from __future__ import annotations

import os
from pathlib import Path

from dermforge.common.atomic import write_whole
from dermforge.common.digests import digest_bytes
from dermforge.common.errors import UserError
from dermforge.common.use_certificate import USE, UseCertificate, read_use_certificate
from engines.bundle import Bundle
from engines.errors import EngineError


def read_use(bundle: Bundle) -> tuple[UseCertificate, str] | None:
    """The certificate of use in a bundle and the sha256 of its file, by which shards name it; None where there is none.

    Raises
    ------
    EngineError
        It is damaged, or of another bundle.
    """
    path = bundle.folder / USE
    if not os.path.lexists(path):
        return None
    return _of(bundle, path)[:2]


def attach(bundle: Bundle, file: Path, overwrite: bool = False) -> UseCertificate:
    """Put a certificate of use into the bundle that it is of.

    Parameters
    ----------
    overwrite
        Replace another one that the bundle holds.

    Raises
    ------
    EngineError
        It is of another bundle, of images of several bundles, or damaged, or the bundle holds another one. Nothing is
        written.
    """
    certificate, _, content = _of(bundle, file)
    if not overwrite:
        _refuse_another(bundle, content)
    write_whole(bundle.folder / USE, content)
    return certificate


def _refuse_another(bundle: Bundle, content: bytes) -> None:
    """Refuse a bundle whose certificate of use, where it holds one, is not this file."""
    path = bundle.folder / USE
    if not os.path.lexists(path):
        return
    try:
        there, _, old = _of(bundle, path)
        same, said = old == content, f"says {there.sentence()}"
    except EngineError as error:
        same, said = False, f"is not usable ({error})"
    if not same:
        raise EngineError(
            f"{bundle.folder} holds another certificate of use, which {said}; a bundle has one, and another comparison "
            "is one more chance to pass wrongly: keep it, or set `overwrite` to replace it"
        )


def _of(bundle: Bundle, path: Path) -> tuple[UseCertificate, str, bytes]:
    try:
        certificate, content = read_use_certificate(path)
    except UserError as error:
        raise EngineError(str(error)) from error
    if not certificate.bundle:
        raise EngineError(
            f"{path} is of images that no single bundle drew, as their shards say; draw all of the student's images by "
            "one bundle, and compare them again"
        )
    if certificate.bundle != bundle.digest:
        raise EngineError(
            f"{path} is the certificate of the bundle {certificate.bundle[:12]}, and {bundle.folder} is the bundle "
            f"{bundle.digest[:12]}: a certificate of use is of one bundle; compare images of this one (`evalsuite use`)"
        )
    return certificate, digest_bytes(content), content
