"""Pictures: an uploaded query image -> its vector in the space of images, to search by."""

from __future__ import annotations

import asyncio
from typing import Final

from contracts.catalog import Catalog
from contracts.errors import DependencyUnavailable, InvalidRequest
from contracts.ports import Float32, ImageEncoder, Objects
from gateway import validation
from gateway.images import QUERY_IMAGE, Images

FIELD: Final = "image_upload_id"


class Pictures:
    """Query images of every tenant. They are kept for whoever searches by them again, until the sweep of unused
    uploads takes them, a day after their completion.
    """

    def __init__(self, catalog: Catalog, objects: Objects, encoder: ImageEncoder) -> None:
        self._images = Images(catalog, objects)
        self._encoder = encoder

    async def vector(self, tenant_id: str, upload_id: str, *, version: str, timeout_s: float) -> Float32:
        """Return the vector of a picture: float32 (vision dim,), L2-normalised.

        Args:
            version: of the vision encoder whose vectors are searched.
            timeout_s: seconds from now until nobody waits for it any more.

        Raises:
            NotFound, InvalidRequest, PreconditionFailed: as ``Images``; InvalidRequest also for what is no JPEG, PNG or
                WebP, is damaged or too large (permanent).
            DependencyUnavailable: something does not answer, or not in time (transient).
        """
        try:
            async with asyncio.timeout(timeout_s):
                upload = await self._images.completed(tenant_id, upload_id, QUERY_IMAGE, FIELD)
                image = await self._images.read(upload)
                return await self._encoder.encode_image(image, version=version)
        except InvalidRequest as error:
            said = "; ".join(violation.description for violation in error.violations)
            raise validation.invalid(FIELD, said) from error
        except TimeoutError:
            raise DependencyUnavailable(
                "inference", "the picture was not read in time; try again", reason="DEADLINE_EXCEEDED"
            ) from None
