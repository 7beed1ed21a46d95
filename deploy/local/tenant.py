"""Tenant: a home and an operator's word -> the catalogue's settings of a tenant."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from contracts.catalog import Catalog
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
    _change(home, tenant, lambda catalog: catalog.set_faces(tenant, enabled))


def keep_queries(home: Home, tenant: str, *, kept: bool) -> None:
    """Begin to keep the texts of a tenant's queries, or end it and forget those that were kept.

    Raises:
        DeployError: There is no stack in the home, or its catalogue does not answer.
    """
    _change(home, tenant, lambda catalog: catalog.keep_queries(tenant, kept))


def _change(home: Home, tenant: str, change: Callable[[Catalog], Awaitable[object]]) -> None:
    url = environment(home, require_config(home), cache_folder() / "models")["HEIMDEX_CATALOG"]
    try:
        asyncio.run(_in_catalog(url, change))
    except HeimdexError as error:
        raise DeployError(f"the settings of {tenant} cannot be changed: {error}", "see `heimdex doctor`") from error


async def _in_catalog(url: str, change: Callable[[Catalog], Awaitable[object]]) -> None:
    from adapters.catalog import SqlCatalog

    async with SqlCatalog(url) as catalog:
        await catalog.ready()
        await change(catalog)
