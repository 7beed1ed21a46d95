"""Tenant: a home and an operator's word -> the catalogue's settings of a tenant."""

from __future__ import annotations

import asyncio

from contracts.errors import HeimdexError
from deploy.local.environment import environment
from deploy.local.failure import DeployError
from deploy.local.home import Home, require_config
from deploy.local.provision import cache_folder


def set_faces(home: Home, tenant: str, *, enabled: bool) -> None:
    """Switch looking for people on or off for a tenant.

    Raises:
        DeployError: There is no stack in the home, or its catalogue does not answer.
    """
    url = environment(home, require_config(home), cache_folder() / "models")["HEIMDEX_CATALOG"]
    try:
        asyncio.run(_set_faces(url, tenant, enabled=enabled))
    except HeimdexError as error:
        raise DeployError(f"the settings of {tenant} cannot be changed: {error}", "see `heimdex doctor`") from error


async def _set_faces(url: str, tenant: str, *, enabled: bool) -> None:
    from adapters.catalog import SqlCatalog

    async with SqlCatalog(url) as catalog:
        await catalog.ready()
        await catalog.set_faces(tenant, enabled)
