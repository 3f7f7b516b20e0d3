# SPDX-FileCopyrightText: 2026 The maqet.qemu authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A web server on loopback that knows ranges, and can be as bad as others are."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PIECE = 1 << 16


class Web:
    """
    :param files: bytes by name; a test may change them.
    :param cuts: after how many bytes of a body the connection ends, one a request that reaches so far.
    :param ranges: whether parts are served; tags: whether files have an ETag; lengths: whether their length is said.
    :param pause: seconds after each piece of 64 KiB.
    :param asked: ``(path, Range header, status)`` of each request; served: bytes of bodies that were sent.
    """

    def __init__(self):
        self.files, self.cuts, self.asked, self.served = {}, [], [], 0
        self.ranges = self.tags = self.lengths = True
        self.pause = 0
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"web": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def url(self, name):
        return f"http://127.0.0.1:{self._server.server_port}/{name}"

    def forget(self):
        """Count from zero."""
        self.asked, self.served = [], 0

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    web = None

    def log_message(self, *words):
        return

    def do_GET(self):
        web = self.web
        data = web.files.get(self.path.partition("?")[0].lstrip("/"))
        tag = data is not None and f'"{hashlib.sha256(data).hexdigest()[:12]}"'
        start, status = self._start(data, tag)
        with web.lock:
            web.asked.append((self.path, self.headers.get("Range"), status))
        self.send_response(status)
        if web.tags and tag:
            self.send_header("ETag", tag)
        if status not in (200, 206):
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if web.lengths:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self._send(data[start:])

    def _start(self, data, tag):
        """Where the answer begins, and its status."""
        web, headers = self.web, self.headers
        if data is None:
            return 0, 404
        if web.tags and headers.get("If-None-Match") == tag:
            return 0, 304
        asked = re.fullmatch(r"bytes=(\d+)-", headers.get("Range", ""))
        if not asked or not web.ranges or headers.get("If-Range", tag) != tag:
            return 0, 200
        start = int(asked[1])
        return (start, 206) if start < len(data) else (0, 416)

    def _send(self, body):
        web = self.web
        cut = None
        with web.lock:
            if web.cuts and web.cuts[0] < len(body):
                cut = web.cuts.pop(0)
        for place in range(0, len(body[:cut]), _PIECE):
            piece = body[:cut][place : place + _PIECE]
            try:
                self.wfile.write(piece)
            except OSError:
                return
            with web.lock:
                web.served += len(piece)
            time.sleep(web.pause)
