"""Similar scenes: ``FindSimilarRequest`` -> what the searcher takes; what it found -> the response. Pure."""

from __future__ import annotations

from gateway import search_requests, searches, validation
from heimdex.search.v1 import search_service_pb2 as pb
from indexer.search.types import SimilarRequest, Update


def from_proto(request: pb.FindSimilarRequest, tenant_id: str) -> SimilarRequest:
    """Return what is asked for. Raises InvalidRequest (permanent) with proto paths."""
    return SimilarRequest(
        tenant_id=tenant_id,
        scene_id=validation.resource_id(request.scene_id, "scene_id", "scn"),
        limit=validation.page_size(
            request.page_size, default=search_requests.DEFAULT_PAGE_SIZE, most=search_requests.MAX_PAGE_SIZE
        ),
        filter=search_requests.filter_of(request.filter),
        weights=search_requests.weights_of(request.weights),
        include_same_video=request.include_same_video,
    )


def to_proto(update: Update, query_id: str, asked: SimilarRequest) -> pb.FindSimilarResponse:
    """Return an answer; ``query_id`` is its id."""
    done = searches.frame(update, query_id, asked.filter.person_ids)
    return pb.FindSimilarResponse(hits=done.hits, summary=done.summary)
