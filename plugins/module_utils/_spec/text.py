# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Texts that a guest is handed at its first boot: as written, or a dict that becomes one."""

from __future__ import annotations

import json
from typing import Any

CLOUD_CONFIG = "#cloud-config"


def write(value: Any, language: str) -> str:
    """The text of a dict, the same for equal dicts. :param language: ``cloud-config``, ``yaml`` or ``json``."""
    if isinstance(value, str):
        return value
    if language == "json":
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    import yaml

    text: str = yaml.safe_dump(value, default_flow_style=False, sort_keys=True, allow_unicode=True)
    return f"{CLOUD_CONFIG}\n{text}" if language == "cloud-config" else text


def read(text: str, language: str) -> dict[str, Any]:
    """
    :raises ValueError: why it is no dict. It does not quote the text, which may hold passwords.
    """
    value = _parse(text, language)
    if value is None and language != "json":
        return {}
    if not isinstance(value, dict):
        raise ValueError("is no dictionary")
    return value


def _parse(text: str, language: str) -> Any:
    if language == "json":
        try:
            return json.loads(text)
        except ValueError as exc:
            raise ValueError(f"is no JSON at line {getattr(exc, 'lineno', 1)}") from None
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        raise ValueError(f"is no YAML{f' at line {mark.line + 1}' if mark else ''}") from None
