"""Images: an upload that is no video -> its bytes, where it is the tenant's, of the right purpose and completed."""

from __future__ import annotations

from typing import Final

from contracts.catalog import Catalog, Upload, UploadState
from contracts.errors import NotFound, PreconditionFailed
from contracts.ports import Objects
from gateway import validation

PERSON_PHOTO: Final = "PERSON_PHOTO"
QUERY_IMAGE: Final = "QUERY_IMAGE"
_AWAITED: Final = frozenset({UploadState.OPEN, UploadState.COMPLETING})


class Images:
    """Uploaded images of every tenant."""

    def __init__(self, catalog: Catalog, objects: Objects) -> None:
        self._catalog = catalog
        self._objects = objects

    async def completed(self, tenant_id: str, upload_id: str, purpose: str, field: str) -> Upload:
        """Return a completed upload.

        Args:
            field: proto path of the id.

        Raises:
            NotFound: the tenant has no such upload (permanent).
            InvalidRequest: it is of another purpose (permanent).
            PreconditionFailed: UPLOAD_INCOMPLETE while its bytes are awaited, UPLOAD_CLOSED after its time (permanent).
        """
        upload = await self._catalog.get_upload(tenant_id, upload_id)
        if upload.purpose != purpose:
            raise validation.invalid(field, f"is no upload of purpose {purpose}")
        if upload.state is not UploadState.COMPLETED:
            reason = "UPLOAD_INCOMPLETE" if upload.state in _AWAITED else "UPLOAD_CLOSED"
            raise _unusable(upload_id, f"the upload is {upload.state}", reason)
        return upload

    async def read(self, upload: Upload) -> bytes:
        """Return the bytes of a completed upload. PreconditionFailed (UPLOAD_CLOSED, permanent) when they are gone."""
        try:
            return (await self._objects.get(upload.object_key))[0]
        except NotFound:
            raise _unusable(upload.upload_id, "the image is gone: upload it again", "UPLOAD_CLOSED") from None


def _unusable(upload_id: str, message: str, reason: str) -> PreconditionFailed:
    return PreconditionFailed(message, reason=reason, metadata={"upload_id": upload_id})
