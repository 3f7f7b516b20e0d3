# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The volume that cloud-init looks for by its label (data source NoCloud), made by pycdlib."""

from __future__ import annotations

import io
from typing import Any

from .._errors import HostError

_LABEL = "CIDATA"


def find_library() -> Any:
    """
    :raises HostError: it is not installed.
    """
    try:
        import pycdlib
    except ImportError as exc:
        raise HostError(
            "the Python library pycdlib is missing where the module runs: the guest's seed is made by it",
            hint="Install python3-pycdlib, or apply the role maqet.qemu.host",
        ) from exc
    return pycdlib


def make_volume(files: dict[str, str]) -> bytes:
    """An ISO 9660 image with the files under their names in Rock Ridge and Joliet: either is enough for a guest."""
    iso = find_library().PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=_LABEL)
    for number, (name, text) in enumerate(files.items()):
        content = text.encode()
        iso.add_fp(io.BytesIO(content), len(content), iso_path=f"/FILE{number}.;1", rr_name=name, joliet_path=f"/{name}", file_mode=0o100400)
    image = io.BytesIO()
    iso.write_fp(image)
    iso.close()
    return image.getvalue()
