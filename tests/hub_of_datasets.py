"""A hub on this machine: the few paths that huggingface_hub and datasets ask of the real one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Files = Mapping[str, bytes]  # by path in the repository


@contextmanager
def serving(repositories: Mapping[str, tuple[str, Files]]) -> Iterator[str]:
    """The address of a hub with these data sets and models: name -> commit and files."""

    class Hub(_Hub):
        pass

    Hub.repositories = repositories
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    repositories: Mapping[str, tuple[str, Files]] = {}

    def do_HEAD(self) -> None:
        self._file()

    def do_GET(self) -> None:
        self._api() if self.path.startswith("/api/") else self._file()

    def do_POST(self) -> None:
        self._api()

    def log_message(self, *_: Any) -> None:
        pass

    def _api(self) -> None:
        """``/api/{datasets,models}/ORG/NAME/{revision,tree,paths-info}/COMMIT/…``"""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        parts = unquote(urlsplit(self.path).path).split("/")[3:]
        name, kind, commit, below = "/".join(parts[:2]), *(*parts[2:4], "", "")[:2], "/".join(parts[4:])
        own, files = self.repositories.get(name, ("", {}))
        if not files or commit not in ("", own):
            return self._missing("RepoNotFound" if not files else "RevisionNotFound")
        if kind == "tree":
            deep = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() == "true"
            return self._json([_entry(path, files) for path in _below(below, files, deep=deep)])
        if kind == "paths-info":
            is_json = "json" in self.headers.get("Content-Type", "")
            wanted = json.loads(body)["paths"] if is_json else parse_qs(body)["paths"]
            return self._json([_entry(path, files) for path in wanted if path in (*files, *_folders(files))])
        siblings = [{"rfilename": path} for path in files]
        return self._json({"id": name, "sha": own, "private": False, "tags": [], "siblings": siblings})

    def _file(self) -> None:
        """``/datasets/ORG/NAME/resolve/COMMIT/PATH``; of a model without the first."""
        parts = unquote(urlsplit(self.path).path).removeprefix("/datasets").split("/")
        own, files = self.repositories.get("/".join(parts[1:3]), ("", {}))
        path = "/".join(parts[5:])
        if path not in files or parts[4] != own:
            return self._missing("EntryNotFound")
        return self._answer(files[path], {"ETag": f'"{_digest(files[path])}"', "X-Repo-Commit": own})

    def _json(self, value: Any) -> None:
        self._answer(json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _missing(self, code: str) -> None:
        self._answer(b"{}", {"X-Error-Code": code, "X-Error-Message": "there is no such thing"}, status=404)

    def _answer(self, content: bytes, headers: Mapping[str, str], status: int = 200) -> None:
        found = self.headers.get("Range")
        if found and status == 200:
            first, _, last = found.removeprefix("bytes=").partition("-")
            start, stop = int(first), min(int(last or len(content)) + 1, len(content))
            headers = {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
            content, status = content[start:stop], 206
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _entry(path: str, files: Files) -> dict[str, Any]:
    if path not in files:
        return {"type": "directory", "path": path, "size": 0, "oid": _digest(path.encode())}
    return {"type": "file", "path": path, "size": len(files[path]), "oid": _digest(files[path])}


def _folders(files: Files) -> set[str]:
    return {str(folder) for path in files for folder in PurePosixPath(path).parents if folder.name}


def _below(folder: str, files: Files, *, deep: bool) -> list[str]:
    every = [path for path in (*files, *sorted(_folders(files))) if path.startswith(f"{folder}/" if folder else "")]
    return [path for path in every if deep or str(PurePosixPath(path).parent) == (folder or ".")]


def _digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
