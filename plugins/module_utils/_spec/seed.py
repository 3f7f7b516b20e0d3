# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is on the disk that cloud-init reads (docs: https://docs.cloud-init.io, data source NoCloud).

The guest takes itself for a new one when ``instance-id`` changes, and then does all of a first boot again. So only that
changes it which a first boot alone does; hosts and network are brought up to date at each boot.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from typing import Any

from .address import static
from .site import Site
from .text import CLOUD_CONFIG, read, write

_INTERFACE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,14}")
_BEGIN, _END = "# maqet.qemu: begin", "# maqet.qemu: end"
# Where cloud-init writes /etc/hosts itself (manage_etc_hosts) it does so from these templates, after it ran this.
_HOSTS = f""": >>/etc/hosts
for file in /etc/hosts /etc/cloud/templates/hosts.*.tmpl; do
  test -f "$file" || continue
  {{ sed '/^{_BEGIN}$/,/^{_END}$/d' "$file"; printf '%s\\n' '{_BEGIN}' "$@" '{_END}'; }} >"$file.new"
  cmp -s "$file" "$file.new" || cat "$file.new" >"$file"
  rm "$file.new"
done
"""
# A user's lists of the same name stay as they are, ours is behind (cloud-init's docs: Merging user data sections).
_MERGE = [{"name": "list", "settings": ["append"]}, {"name": "dict", "settings": ["no_replace", "recurse_list"]}]
# By itself cloud-init looks at the network at a first boot only (up to 26.2).
_UPDATES = {"updates": {"network": {"when": ["boot-new-instance", "boot"]}}}


def contents(spec: dict[str, Any], site: Site) -> dict[str, str]:
    """The files by their names."""
    given = spec["cloud_init"] or {"user_data": None, "meta_data": None, "network_config": None, "vendor_data": None, "ssh_keys": [], "hosts": {}}
    network = given["network_config"] if given["network_config"] is not None else _network(spec, site)
    ours = given["network_config"] is None and network is not None
    vendor = given["vendor_data"] if given["vendor_data"] is not None else write(_UPDATES, "cloud-config") if ours else None
    hosts = {**site.identity.get("neighbours", {}), **given["hosts"]}
    once = {"user-data": given["user_data"] or CLOUD_CONFIG + "\n", "vendor-data": given["vendor_data"], "meta-data": _meta(given, site)}
    meta = {"instance-id": f"{site.identity['uuid']}-{digest(once, site)}", **once["meta-data"]}
    files = {"meta-data": write(meta, "yaml"), "user-data": _with_hosts(once["user-data"], hosts), "vendor-data": vendor, "network-config": network}
    return {name: text for name, text in files.items() if text is not None}


def digest(value: Any, site: Site) -> str:
    """Of a seed's content. It is in a path that all users of the host can see, so it is no help in guessing a password."""
    return hmac.new(site.identity["salt"].encode(), json.dumps(value, sort_keys=True).encode(), hashlib.sha256).hexdigest()[:12]


def _meta(given: dict[str, Any], site: Site) -> dict[str, Any]:
    hostname = re.sub("[^A-Za-z0-9.-]", "-", site.name).strip("-.")
    keys = {"public-keys": given["ssh_keys"]} if given["ssh_keys"] else {}
    return {"local-hostname": hostname, **keys, **(read(given["meta_data"], "yaml") if given["meta_data"] is not None else {})}


def _with_hosts(user: str, hosts: dict[str, str]) -> str:
    """The user's own data, and in a part of its own what puts the hosts into /etc/hosts."""
    if not hosts:
        return user
    from email import message_from_string
    from email.mime.multipart import MIMEMultipart
    from email.mime.text import MIMEText

    lines = [f"{address} {name}" for name, address in sorted(hosts.items())]
    ours = {"merge_how": _MERGE, "bootcmd": [["sh", "-c", _HOSTS, "hosts", *lines]]}
    # A boundary by chance would make another seed each time.
    whole = MIMEMultipart(boundary="==maqet.qemu==")
    is_mime = user.startswith(("Content-Type:", "MIME-Version:"))
    whole.attach(message_from_string(user) if is_mime else MIMEText(user, "plain", "utf-8"))
    whole.attach(MIMEText(write(ours, "cloud-config"), "cloud-config", "utf-8"))
    return whole.as_string()


def _network(spec: dict[str, Any], site: Site) -> str | None:
    """Each card known by its MAC. In version 1: of version 2 cloud-init 22.4 makes a default route that needs net-tools where
    ifupdown is (Debian 12), and 23.3 and later complain of the other way to say it (gateway4)."""
    if not spec["nics"]:
        return None
    config = []
    for name, nic in spec["nics"].items():
        mac = (nic["mac"] or site.identity["macs"][name]).lower()
        # The guest's name for the card too: not every renderer of cloud-init finds a card by its MAC alone.
        interface = name if _INTERFACE.fullmatch(name) else f"nic{mac[9:].replace(':', '')}"
        config.append({"type": "physical", "name": interface, "mac_address": mac, "subnets": [_subnet(nic)]})
    return write({"version": 1, "config": config}, "yaml")


def _subnet(nic: dict[str, Any]) -> dict[str, Any]:
    if not nic["address"]:
        return {"type": "dhcp4"}
    found = static(nic)
    subnet = {"type": "static6" if ":" in found["address"] else "static", "address": found["address"]}
    more = {"gateway": found["gateway"], "dns_nameservers": found["dns"]}
    return {**subnet, **{key: value for key, value in more.items() if value}}
