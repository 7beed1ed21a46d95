"""Settings of the gateway: what is refused at its start."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from gateway.__main__ import Settings

PLAIN = Settings(
    s3_endpoint="http://s3", s3_public_endpoint="http://s3", s3_access_key="a", s3_secret_key="s",
    opensearch="http://o", milvus_text="http://t", milvus_vision="http://v", catalog="sqlite://",
    gateway_listen="127.0.0.1:1", inference="127.0.0.1:2", jwks_file=Path("jwks.json"), token_issuer="i",
    token_audience="a", page_token_key=SecretStr("00" * 32),
)  # fmt: skip


@pytest.mark.parametrize("half", ["gateway_tls_certificate", "gateway_tls_key"])
def test_half_of_tls_is_refused_for_it_would_be_plain_text(half: str) -> None:
    assert PLAIN.credentials() is None
    with pytest.raises(ValidationError, match="HEIMDEX_GATEWAY_TLS_CERTIFICATE and HEIMDEX_GATEWAY_TLS_KEY") as refused:
        Settings(**PLAIN.model_dump() | {half: Path("file.pem"), "s3_secret_key": "hidden"})
    assert "hidden" not in str(refused.value)


def test_no_larger_picture_is_taken_than_can_be_read() -> None:
    with pytest.raises(ValidationError, match="max_image_bytes"):
        Settings(**PLAIN.model_dump() | {"max_image_bytes": (10 << 20) + 1})
