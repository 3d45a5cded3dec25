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


def attach(bundle: Bundle, file: Path) -> UseCertificate:
    """Put a certificate of use into the bundle that it is of, in the place of an earlier one.

    Raises
    ------
    EngineError
        It is of another bundle, of images of several bundles, or damaged. Nothing is written.
    """
    certificate, _, content = _of(bundle, file)
    write_whole(bundle.folder / USE, content)
    return certificate


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
