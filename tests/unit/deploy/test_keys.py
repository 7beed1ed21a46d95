"""Keys: a token verifies against the published key, and says exactly what it must."""

from __future__ import annotations

import json
import time
from pathlib import Path

import jwt
import pytest

from deploy.local.failure import DeployError
from deploy.local.home import Home
from deploy.local.keys import AUDIENCE, ISSUER, create_keys, sign_token


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.create()
    create_keys(home)
    return home


def public_key(home: Home) -> jwt.PyJWK:
    return jwt.PyJWKSet.from_dict(json.loads((home.keys / "jwks.json").read_text())).keys[0]


def test_a_token_verifies_with_the_public_half(home: Home) -> None:
    before = int(time.time())
    token = sign_token(home, tenant="acme", user="민지", ttl_s=60)
    claims = jwt.decode(
        token,
        public_key(home),
        algorithms=["EdDSA"],
        audience=AUDIENCE,
        issuer=ISSUER,
        options={"require": ["exp", "iat"]},
    )
    assert claims["tenant_id"] == "acme"
    assert claims["sub"] == "민지"
    assert 60 <= claims["exp"] - before <= 62
    assert jwt.get_unverified_header(token)["kid"] == public_key(home).key_id


@pytest.mark.parametrize(("admin", "roles"), [(False, None), (True, ["admin"])])
def test_a_token_has_a_role_only_where_it_was_asked_for(home: Home, admin: bool, roles: list[str] | None) -> None:  # noqa: FBT001  # the case
    token = sign_token(home, tenant="acme", user="u", ttl_s=60, admin=admin)
    claims = jwt.decode(token, public_key(home), algorithms=["EdDSA"], audience=AUDIENCE, issuer=ISSUER)
    assert claims.get("roles") == roles


def test_a_second_start_keeps_the_keys(home: Home) -> None:
    before = (home.keys / "signing.pem").read_bytes()
    create_keys(home)
    assert (home.keys / "signing.pem").read_bytes() == before


def test_the_signing_key_is_private_and_the_published_file_does_not_hold_it(home: Home) -> None:
    assert (home.keys / "signing.pem").stat().st_mode & 0o777 == 0o600
    assert "d" not in json.loads((home.keys / "jwks.json").read_text())["keys"][0]


def test_another_homes_token_does_not_verify(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    other.create()
    create_keys(other)
    token = sign_token(other, tenant="acme", user="u", ttl_s=60)
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, public_key(home), algorithms=["EdDSA"], audience=AUDIENCE)


def test_a_home_without_keys_says_so(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match=r"no keys in .*heimdex up"):
        sign_token(Home(tmp_path), tenant="acme", user="u", ttl_s=60)
