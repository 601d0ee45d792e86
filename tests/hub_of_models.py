"""A small hub on this machine: what huggingface_hub asks to make a model repository and to commit to it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

LARGE = 1 << 16  # bytes from which on a file goes to the large-file storage


@dataclass
class Hub:
    """What the hub holds, and what it was asked.

    Attributes:
        refuse: status with which every request is refused; None for none.
        repositories: by name: privacy, files and messages of commits.
        requests: method, path and Authorization header of each.
    """

    url: str = ""
    refuse: int | None = None
    repositories: dict[str, dict[str, Any]] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        if self.refuse:
            return self.refuse, {"error": "you shall not pass"}
        if method == "PUT":
            self.stored[path.rpartition("/")[2]] = body
            return 200, {}
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path.endswith("/info/lfs/objects/batch"):
            return 200, self._batch(json.loads(body))
        if path.endswith("/verify"):
            return 200, {}
        match = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit|tree)/main", path.partition("?")[0])
        if match is None or match[1] not in self.repositories:
            return 404, {"error": f"no {method} {path} here"}
        repository = self.repositories[match[1]]
        if match[2] == "tree":
            files = repository["files"].items()
            return 200, [{"type": "file", "path": name, "size": len(own), "oid": "0"} for name, own in files]
        if match[2] == "preupload":
            files = json.loads(body)["files"]
            modes = [
                {"path": own["path"], "uploadMode": "lfs" if own["size"] >= LARGE else "regular", "shouldIgnore": False}
                for own in files
            ]
            return 200, {"files": modes}
        return self._commit(match[1], [json.loads(line) for line in body.splitlines()])

    def _create(self, wanted: dict[str, Any]) -> tuple[int, Any]:
        name = f"{wanted['organization']}/{wanted['name']}" if wanted.get("organization") else wanted["name"]
        found = {"url": f"{self.url}/{name}"}
        if name in self.repositories:
            return 409, {**found, "error": "You already created this model repo"}
        visibility = wanted.get("visibility")
        private = wanted.get("private") or visibility == "private"
        self.repositories[name] = {"private": private, "files": {}, "commits": []}
        return 200, found

    def _batch(self, wanted: dict[str, Any]) -> dict[str, Any]:
        objects = [
            {**own, "actions": {"upload": {"href": f"{self.url}/store/{own['oid']}"}}} for own in wanted["objects"]
        ]
        return {"transfer": "basic", "objects": objects}

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> tuple[int, Any]:
        repository = self.repositories[name]
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                repository["commits"].append(value["summary"])
            elif line["key"] == "deletedFile":
                del repository["files"][value["path"]]
            elif line["key"] == "file":
                repository["files"][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                content = self.stored[value["oid"]]
                assert hashlib.sha256(content).hexdigest() == value["oid"]
                repository["files"][value["path"]] = content
        oid = f"{len(repository['commits']):040d}"
        return 200, {"commitUrl": f"{self.url}/{name}/commit/{oid}", "commitOid": oid, "hookOutput": ""}


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub that answers while the context lasts."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Quietly."""

        def answer(self) -> None:
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = self.chunks()
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            hub.requests.append((self.command, self.path, self.headers.get("Authorization")))
            status, value = hub.answer(self.command, self.path, body)
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def chunks(self) -> bytes:
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        do_GET = do_POST = do_PUT = answer

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
