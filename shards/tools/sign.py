"""Signs marked images with C2PA manifests: a step behind the contract of equal bytes.

A signature holds random numbers and a time, so no image is signed alike twice. Signed images therefore go to a set of
their own, and the run from which they come stays as it is.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

from dermforge.common.errors import UserError, first_line
from dermforge.common.extras import how_to_install
from dermforge.common.regular_file import read_regular
from dermforge.common.version import __version__
from shards.format.find_mark import mark_of
from shards.format.images import image_format
from shards.format.mark import VOCABULARY
from shards.format.reader import ImageSet
from shards.format.schema import Sample, Sidecar
from shards.tools.select import select

Algorithm = Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"]
ALGORITHMS: tuple[str, ...] = get_args(Algorithm)

MEDIA = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
#: A chain of certificates or a key is no larger.
_MAX_PEM = 1 << 20
#: No picture in the picture, and nothing asked of the network.
_SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"ocsp_fetch": False, "remote_manifest_fetch": False, "verify_trust": False},
}


class Signing:
    """Signs images with one certificate.

    Parameters
    ----------
    certificate
        PEM: the signer's certificate, then those that vouch for it.
    key
        PEM: the private key, without a passphrase.
    timestamps
        Address of a time-stamp authority (RFC 3161), so that signatures outlive the certificate; None for none.

    Raises
    ------
    UserError
        The package is missing, a file cannot be read, or the algorithm is unknown.
    """

    def __init__(self, certificate: Path, key: Path, algorithm: str = "es256", timestamps: str | None = None) -> None:
        if algorithm not in ALGORITHMS:
            raise UserError(f"--alg {algorithm!r}; expected {', '.join(ALGORITHMS)}")
        try:
            import c2pa
        except ImportError as error:
            raise UserError(f"signing needs the package c2pa-python: {how_to_install('c2pa')}") from error
        self.c2pa, self.files = c2pa, f"{certificate} and {key}"
        try:
            chain, secret = read_regular(certificate, _MAX_PEM), read_regular(key, _MAX_PEM)
        except OSError as error:
            raise UserError(f"cannot read {error.filename}: {error.strerror}") from error
        try:
            authority = timestamps.encode() if timestamps else None
            info = c2pa.C2paSignerInfo(algorithm.encode(), chain, secret, authority)
            self.signer = c2pa.Signer.from_info(info)
            self.context = c2pa.Context.from_dict(_SETTINGS)
        except c2pa.C2paError as error:
            raise self._refused(error) from error

    def __call__(self, sample: Sample, image: bytes) -> bytes:
        """The image with a signed manifest that says what its mark says.

        Raises
        ------
        UserError
            It has no mark, or the certificate cannot sign it.
        """
        mark = mark_of(image)
        if mark is None:
            raise UserError(f"{sample.id} has no mark, and only marked images are signed: `gen sample` writes marks")
        ext = image_format(image)
        made = {
            "action": "c2pa.created",
            "digitalSourceType": VOCABULARY + mark.source_type,
            "softwareAgent": {"name": sample.attributes.get("generator", "dermforge")},
        }
        manifest = {
            "claim_generator_info": [{"name": "dermforge", "version": __version__}],
            "title": f"{sample.id}.{ext}",
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [made]}}],
        }
        signed = io.BytesIO()
        try:
            with self.c2pa.Builder.from_json(json.dumps(manifest), self.context) as builder:
                builder.sign(self.signer, MEDIA[ext], io.BytesIO(image), signed)
        except self.c2pa.C2paError as error:
            raise self._refused(error) from error
        return signed.getvalue()

    def _refused(self, error: Exception) -> UserError:
        return UserError(
            f"{self.files} cannot sign: {first_line(error)}; C2PA expects a certificate for signing (key usage "
            "digitalSignature, extended key usage emailProtection or documentSigning) that is valid today, not signed "
            "by itself, and of the kind that --alg names"
        )


def sign(
    data: ImageSet,
    out: str | Path,
    signing: Signing,
    name: str = "signed",
    *,
    shard_size: int = 1000,
    tick: Callable[[int], None] | None = None,
) -> list[Sidecar]:
    """Copy marked images into new shards and sign each; provenance and the records of withdrawn images go along.

    Raises
    ------
    UserError
        The set holds real images, or one without a mark.
    """
    if (real := data.where(origin="real")).n:
        raise UserError(
            f"{real.n} images of {data} are real, the first {real.rows['id'].iloc[0]}: a signature would vouch for "
            "what nobody here saw; `shards select` the synthetic ones"
        )
    return select(data, out, name, shard_size=shard_size, edit=signing, tick=tick)
