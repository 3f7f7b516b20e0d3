# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An image of what a machine's disk holds: all that a guest sees of it, in one qcow2."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from .._errors import CommandError, HostError
from .._spec.disk_file import DiskFile
from .._spec.image import Source
from .bring import Errand
from .deadline import Deadline
from .download import check_space
from .fit import Fit, make_fit
from .images import Image, Images
from .qemu_img import qemu_img


class Flattening(Errand):
    """The disk's file is its source, and its size and time of change say whether it was written to. Nobody has it open."""

    def __init__(self, images: Images, name: str, item: DiskFile, deadline: Deadline, witness: Callable[[str], None], *, force: bool = False) -> None:
        super().__init__(images, Source(name, path=item.file), deadline, witness, force=force)
        self.item = item

    async def _is_stale(self, image: Image, wanted: Any) -> bool:
        return self.force

    async def _from_path(self) -> tuple[str, dict[str, Any], bool]:
        _file, facts, _resumed = await super()._from_path()
        item, made = self.item, f"{self.stem}.part"
        self._discard()  # of one who was killed: it may be read-only already
        try:
            measured = json.loads(await qemu_img(self.deadline, "measure", "--output=json", "-f", item.format, "-O", "qcow2", item.file))
            check_space(self.images.root, measured["required"], f"disk {item.disk}")
            await qemu_img(self.deadline, "convert", "-q", "-f", item.format, "-O", "qcow2", item.file, made)
        except CommandError as exc:
            raise HostError(f"disk {item.disk} cannot be made an image: {exc.message}", hint="Check it with qemu-img check, and the free space") from exc
        self.witness("disk flattened")
        return made, facts, False

    async def _make_fit(self, file: str) -> Fit:
        return await make_fit(file, "qcow2", self.stem, self.deadline, self.witness, owned=True, what=f"disk {self.item.disk}")
