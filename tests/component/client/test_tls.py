"""TLS: who has the certificate's root is answered, nobody else."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from heimdex.client import AsyncClient, Unavailable
from tests.component.gateway.door import open_door


def certificate() -> tuple[bytes, bytes]:
    """Return a self-signed certificate of 127.0.0.1 and its key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "heimdex")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return signed.public_bytes(serialization.Encoding.PEM), key.private_bytes(*plain)


async def test_only_who_knows_the_root_is_answered(tmp_path: Path) -> None:
    (root, key), (other, _) = certificate(), certificate()
    async with open_door(tmp_path, credentials=grpc.ssl_server_credentials([(key, root)])) as door:
        endpoint, token = f"127.0.0.1:{door.port}", door.signer.token()
        async with AsyncClient(endpoint, token, insecure=False, root_certificates=root) as client:
            assert not [video async for video in client.list_videos()]
        for strange in (
            AsyncClient(endpoint, token, timeout_s=2, insecure=True),
            AsyncClient(endpoint, token, timeout_s=2, insecure=False, root_certificates=other),
        ):
            async with strange:
                with pytest.raises(Unavailable):
                    await strange.suggest("고")
