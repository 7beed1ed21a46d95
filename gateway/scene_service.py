"""Scene service: GetScene, ListScenes, ListNeighbours, GetSceneMedia."""

from __future__ import annotations

from typing import Any, Final

from contracts.catalog import Catalog
from contracts.ports import Clock, Objects
from gateway import identity, scenes, validation
from gateway.pages import PageTokens
from heimdex.scene.v1 import scene_service_pb2 as pb
from heimdex.scene.v1.scene_service_pb2_grpc import SceneServiceServicer

DEFAULT_PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 500
MAX_NEIGHBOURS: Final = 10
MAX_MEDIA: Final = 200


class SceneService(SceneServiceServicer):
    """Scenes of the searchable revisions."""

    def __init__(self, catalog: Catalog, objects: Objects, pages: PageTokens, clock: Clock) -> None:
        self._catalog = catalog
        self._objects = objects
        self._pages = pages
        self._clock = clock

    async def GetScene(self, request: pb.GetSceneRequest, context: Any) -> pb.GetSceneResponse:
        """Return one scene."""
        scene_id = validation.resource_id(request.scene_id, "scene_id", "scn")
        scene = scenes.to_proto(await self._catalog.get_scene(identity.principal().tenant_id, scene_id))
        if request.include_urls:
            await scenes.KeyframeUrls(self._objects).add([scene])
        return pb.GetSceneResponse(scene=scene)

    async def ListScenes(self, request: pb.ListScenesRequest, context: Any) -> pb.ListScenesResponse:
        """Return a page of a video's scenes, in order."""
        who = identity.principal()
        video_id = validation.resource_id(request.video_id, "video_id", "vid")
        size = validation.page_size(request.page_size, default=DEFAULT_PAGE_SIZE, most=MAX_PAGE_SIZE)
        revision = (await self._catalog.get_video(who.tenant_id, video_id)).searchable_revision
        scope = f"ListScenes:{video_id}:{revision}"  # the positions of another revision are others
        now_ms = self._clock.now_ms()
        after = -1
        if request.page_token:
            after = int(self._pages.open(who, scope, request.page_token, now_ms=now_ms))
        found = await self._catalog.list_scenes(who.tenant_id, video_id, limit=size + 1, after_index=after)
        page = found[:size]
        response = pb.ListScenesResponse(scenes=[scenes.to_proto(row) for row in page])
        if request.include_urls:
            await scenes.KeyframeUrls(self._objects).add(response.scenes)
        if len(found) > size:
            cursor = str(page[-1].index).encode()
            response.next_page_token = self._pages.seal(who, scope, cursor, now_ms=now_ms)
        return response

    async def ListNeighbours(self, request: pb.ListNeighboursRequest, context: Any) -> pb.ListNeighboursResponse:
        """Return the scenes before and after one, in order."""
        scene_id = validation.resource_id(request.scene_id, "scene_id", "scn")
        for field, count in (("before", request.before), ("after", request.after)):
            if not 0 <= count <= MAX_NEIGHBOURS:
                raise validation.invalid(field, f"is {count}, outside of [0, {MAX_NEIGHBOURS}]")
        found = await self._catalog.neighbours(
            identity.principal().tenant_id, scene_id, before=request.before, after=request.after
        )
        response = pb.ListNeighboursResponse(scenes=[scenes.to_proto(row) for row in found])
        if request.include_urls:
            await scenes.KeyframeUrls(self._objects).add(response.scenes)
        return response

    async def GetSceneMedia(self, request: pb.GetSceneMediaRequest, context: Any) -> pb.GetSceneMediaResponse:
        """Sign what shows scenes, in the order asked for."""
        if not request.scene_ids:
            raise validation.invalid("scene_ids", "is required")
        scene_ids = validation.resource_ids(request.scene_ids, "scene_ids", "scn", most=MAX_MEDIA)
        found = await self._catalog.footage(identity.principal().tenant_id, scene_ids)
        media = scenes.MediaUrls(self._objects)
        return pb.GetSceneMediaResponse(
            media=[await media.of(found[scene_id]) for scene_id in scene_ids if scene_id in found]
        )
