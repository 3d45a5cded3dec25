"""Signed images, as C2PA's own reader sees them: by whom, how made, unchanged since."""

from __future__ import annotations

import datetime
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mark_helpers import DRAWN, drawn
from shards_helpers import CLASSES, items

from dermforge.common.errors import UserError
from shards import Mark, Provenance, Sample, ShardSet, decode_image, encode_image, mark_of, write_shard
from shards.format.mark import VOCABULARY
from shards.tools.sign import MEDIA, Signing
from shards.tools.verify import verify

c2pa = pytest.importorskip("c2pa")
x509 = pytest.importorskip("cryptography.x509")
Shards = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that an authority of the test vouches for, and its key."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)

    def certificate(name: str, public: Any, ca: bool) -> bytes:
        def called(text: str) -> Any:
            parts = (NameOID.ORGANIZATION_NAME, "Test"), (NameOID.COMMON_NAME, text)
            return x509.Name([x509.NameAttribute(*part) for part in parts])

        off = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False) | {
            "encipher_only": False,
            "decipher_only": False,
        }
        usage = x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, **off)
        made = (
            x509.CertificateBuilder()
            .subject_name(called(name))
            .issuer_name(called("authority"))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + 30 * day)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )
        if not ca:
            made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        return bytes(made.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    folder = tmp_path_factory.mktemp("signer")
    chain = certificate("signer", key.public_key(), False) + certificate("authority", authority.public_key(), True)
    (folder / "chain.pem").write_bytes(chain)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(*pem))
    return folder / "chain.pem", folder / "key.pem"


def read(data: bytes, ext: str) -> tuple[str, dict[str, Any]]:
    """What C2PA's reader says of an image: the state of its signature, and the active manifest."""
    with c2pa.Reader(MEDIA[ext], io.BytesIO(data)) as reader:
        found = json.loads(reader.json())
        return reader.get_validation_state(), found["manifests"][found["active_manifest"]]


@pytest.mark.parametrize("fmt", ["png", "jpg", "webp"])
def test_c2pas_own_reader_accepts_the_signature(signer: tuple[Path, Path], fmt: str) -> None:
    """Pixels and the mark stay; a changed byte is found; a manifest alone counts as a mark too."""
    image, sample = drawn(1, fmt), Sample(id="s1", origin="synthetic", label="a")
    signed = Signing(*signer)(sample, image)
    state, manifest = read(signed, fmt)
    assert state == "Valid"
    (action,) = manifest["assertions"][0]["data"]["actions"]
    assert action["digitalSourceType"] == VOCABULARY + "trainedAlgorithmicMedia"
    assert manifest["signature_info"]["common_name"] == "signer"
    assert manifest["title"] == f"s1.{fmt}"
    np.testing.assert_array_equal(decode_image(signed), decode_image(image))
    assert mark_of(signed) == Mark(DRAWN.source_type, "", DRAWN.digest)
    assert len(signed) - len(image) < 20_000
    at = signed.rindex(b"dermforge gen" if b"dermforge gen" in signed else b"5e5e5e5e")
    changed = signed[:at] + b"5f" + signed[at + 2 :]
    assert read(changed, fmt)[0] == "Invalid"


def test_a_manifest_counts_without_any_xmp(signer: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """As images of other makers have it."""
    bare, signing = encode_image(np.zeros((8, 8, 3), np.uint8)), Signing(*signer)
    with pytest.raises(UserError, match="s1 has no mark"):
        signing(Sample(id="s1", origin="synthetic", label="a"), bare)
    monkeypatch.setattr("shards.tools.sign.mark_of", lambda image: Mark("compositeWithTrainedAlgorithmicMedia"))
    signed = signing(Sample(id="s1", origin="synthetic", label="a"), bare)
    assert mark_of(signed) == Mark("compositeWithTrainedAlgorithmicMedia", "")


def test_the_command_signs_a_set(signer: tuple[Path, Path], tmp_path: Path, shards: Shards) -> None:
    """Provenance goes along, the old set stays, and `shards verify` and C2PA's reader accept the new one."""
    made = [(Sample(id=f"s{i}", origin="synthetic", label=CLASSES[0]), drawn(i), "png") for i in range(3)]
    by = Provenance("11" * 32, DRAWN.digest, "22" * 32, ("real-1",))
    write_shard(tmp_path / "a", "set", 0, made, classes=CLASSES, provenance=by)
    before = (tmp_path / "a" / "set-000000.tar").read_bytes()
    words = ("sign", tmp_path / "a", "--out", tmp_path / "b", "--certificate", signer[0], "--key", signer[1])
    status, out, _ = shards(*words)
    assert (status, "3 signed images in 1 shards" in out) == (0, True)
    assert (tmp_path / "a" / "set-000000.tar").read_bytes() == before
    data = ShardSet.open(tmp_path / "b")
    assert data.provenance(0) == by
    assert [read(image, "png")[0] for _, image in data.samples(verify=True)] == ["Valid"] * 3
    assert not verify(tmp_path / "b", deep=True, workers=1, require_marks=True).faults


def test_what_cannot_sign_is_refused(signer: tuple[Path, Path], tmp_path: Path, shards: Shards) -> None:
    """Another kind of key, swapped files, a missing one, an authority that does not answer, real images."""
    write_shard(
        tmp_path / "a",
        "set",
        0,
        [(Sample(id="s", origin="synthetic", label=CLASSES[0]), drawn(1), "png")],
        classes=CLASSES,
    )
    write_shard(tmp_path / "real", "set", 0, items(2, origin="real"), classes=CLASSES)
    chain, key = signer
    for location, pair, more, said in (
        ("a", (chain, key), ("--alg", "ps256"), "cannot sign"),
        ("a", (chain, key), ("--alg", "rsa"), "expected es256"),
        ("a", (key, chain), (), "cannot sign"),
        ("a", (tmp_path / "none.pem", key), (), "none.pem"),
        ("a", (chain, key), ("--timestamps", "http://127.0.0.1:9/"), "cannot sign"),
        ("real", (chain, key), (), "2 images"),
    ):
        words = ("--out", tmp_path / "out", "--certificate", pair[0], "--key", pair[1], *more)
        status, _, err = shards("sign", tmp_path / location, *words)
        assert (status, said in err) == (2, True), err
        assert not list(tmp_path.glob("out/*.tar"))
