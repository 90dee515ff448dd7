"""A saved scene in place of a machine: the same diagnosis on any platform, years later."""

from collections.abc import Sequence

import msgspec

from inuse.language import _
from inuse.model import SCHEMA, Options, Scene, Target
from inuse.systems.interface import LookError


class SavedScenes:
    """Scenes read from a file made by ``--save-scene``."""

    live = False

    def __init__(self, scenes: Sequence[Scene]) -> None:
        """Answer with these scenes."""
        self.scenes = list(scenes)

    @classmethod
    def load(cls, path: str) -> "SavedScenes":
        """Read a file. Raises LookError where it can't be read or is no saved scene."""
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError as error:
            why = _(error.strerror or str(error))
            raise LookError(_("{path} can't be read: {error}", path=path, error=why)) from error
        try:
            scenes = msgspec.json.decode(data, type=list[Scene])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise LookError(_("{path} is not a saved scene: {error}", path=path, error=error)) from error
        newer = [scene.schema for scene in scenes if scene.schema > SCHEMA]
        if newer:
            raise LookError(
                _(
                    "{path} was saved by a newer version (schema {newer}, this one reads {ours})",
                    path=path,
                    newer=newer[0],
                    ours=SCHEMA,
                )
            )
        return cls(scenes)

    def look(self, targets: Sequence[Target], options: Options, *, probe: bool = True) -> list[Scene]:  # noqa: ARG002
        """Return the scenes of these targets; of all where none is named."""
        if not targets:
            return [scene for scene in self.scenes if scene.target is not None]
        wanted = {(target.proto, target.port, target.address, target.device) for target in targets}
        return [
            scene
            for scene in self.scenes
            if scene.target
            and (scene.target.proto, scene.target.port, scene.target.address, scene.target.device) in wanted
        ]

    @property
    def around(self) -> Scene | None:
        """The saved view of the whole machine, None where there is none."""
        return next((scene for scene in self.scenes if scene.target is None), None)

    def look_around(self, *, connections: bool = False) -> Scene:  # noqa: ARG002
        """Return the saved view of the whole machine."""
        if self.around is None:
            raise LookError(_("the file holds no view of a whole machine"))
        return self.around


def dump(scenes: Sequence[Scene]) -> bytes:
    """Return the text of a scene file: indented JSON, so that two of them can be compared."""
    return msgspec.json.format(msgspec.json.encode(list(scenes)), indent=1) + b"\n"
