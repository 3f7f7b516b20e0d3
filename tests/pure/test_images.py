# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where images may come from, and sums as others write them."""

from __future__ import annotations

import pytest
from ansible_collections.maqet.qemu.plugins.module_utils._errors import HostError, SpecError
from ansible_collections.maqet.qemu.plugins.module_utils._host.checksum import find
from ansible_collections.maqet.qemu.plugins.module_utils._module import veiled
from ansible_collections.maqet.qemu.plugins.module_utils._spec.declaration import declare
from ansible_collections.maqet.qemu.plugins.module_utils._spec.image import Source, check_source, shown

HTTP, HTTPS = "http://h/a.qcow2", "https://h/a.qcow2"
ONE, TWO = "1" * 64, "2" * 64
URL = "https://h/x/debian%2B12.qcow2?token=1"


@pytest.mark.parametrize(
    "source",
    [
        {"url": HTTPS},
        {"url": HTTP, "verify": False},
        {"url": HTTP, "checksum": f"sha256:{ONE}"},
        {"url": HTTP, "checksum": "sha512:http://h/SHA512SUMS"},
        {"path": "/a.raw", "format": "raw", "checksum": f"sha256:{ONE}"},
    ],
)
def test_good_sources(source):
    assert list(check_source("", Source("debian-12", **source))) == []


@pytest.mark.parametrize(
    "says, source",
    [
        ("i: needs one of url and path", {}),
        ("i: needs one of url and path", {"url": HTTPS, "path": "/a"}),
        ("i.checksum: is missing", {"url": HTTP}),
        ("i.url: 'file:///etc/passwd' is not allowed", {"url": "file:///etc/passwd"}),
        ("i.url: 'https://h/' is not allowed", {"url": "https://h/"}),
        ("i.path: 'a.raw' is not allowed", {"path": "a.raw"}),
        ("i.checksum: 'md5:1' is not allowed", {"url": HTTPS, "checksum": "md5:1"}),
        (f"i.checksum: 'sha512:{ONE}' is not allowed", {"url": HTTPS, "checksum": f"sha512:{ONE}"}),
        ("i.checksum: a file of sums knows images by the name in their url", {"path": "/a", "checksum": "sha256:https://h/S"}),
    ],
)
def test_bad_sources(says, source):
    first = next(iter(check_source("i", Source("debian-12", **source))))
    assert first.message.startswith(says) and first.hint


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "-a", "a\n", "a" * 64])
def test_bad_names(name):
    assert "cannot be an image's name" in next(iter(check_source("i", Source(name, url=HTTPS)))).message


@pytest.mark.parametrize(
    "text",
    [
        f"{TWO}  other\n{ONE}  debian+12.qcow2\n",
        f"{TWO} *other\n{ONE.upper()} *debian+12.qcow2\n",
        f"# sums\n{TWO}  ./debian+12.qcow2.asc\n{ONE}  ./images/debian+12.qcow2\r\n",
        f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nSHA256 (debian+12.qcow2) = {ONE}\nSHA512 (debian+12.qcow2) = {ONE}{ONE}\n",
        f"{ONE}\n",
    ],
)
def test_sums(text):
    assert find(text, "sha256", URL, "https://h/SHA256SUMS") == ONE


@pytest.mark.parametrize(
    "text, says", [(f"{ONE}  debian-12.qcow2\n", "Did you mean"), ("<html>", "no such sums"), (f"{ONE}{ONE}  debian+12.qcow2", "no such sums")]
)
def test_sums_that_are_not_there(text, says):
    with pytest.raises(HostError, match=r"https://h/SHA256SUMS has no sha256 sum of debian\+12\.qcow2") as failed:
        find(text, "sha256", URL, "https://me:secret@h/SHA256SUMS")
    assert says in failed.value.hint


def test_passwords_are_not_shown():
    assert shown("https://me:se@cret@h/a@b") == "https://h/a@b"
    assert Source("i", url="https://me:secret@h/a").place == "https://h/a"


def test_passwords_of_wrong_sources_are_not_shown():
    """In no message, and not among the parameters that -vvv and the host's log have."""
    source = {"name": "i", "url": "ftp://me:secret@h/a", "checksum": "md5:https://me:secret@h/SUMS"}
    said = [str(error) for error in check_source("", Source(**source))]
    for key in ("url", "checksum"):
        with pytest.raises(SpecError) as caught:
            declare({"images": [{"name": "i", key: source[key]}]})
        said.append(str(caught.value))
    said += [str(veiled({"images": [source], "memory": "1GiB"})), str(veiled({**source, "vm": None}))]
    assert len(said) > 5 and [text for text in said if "secret" in text or "h/" not in text] == []
