"""A server that speaks as much of the protocol as translators and judges need, on a real socket, and does as told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-never-to-be-seen-0123456789"


@dataclass
class Answer:
    """An HTTP response; ``content`` is the model's message, ``body`` the whole of it instead.

    ``arguments`` are of a function that the model calls, ``likeliest`` log-probabilities of the first token.
    """

    content: str | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    finish: str = "stop"
    body: str | None = None
    delay: float = 0.0  # seconds
    counted: bool = True
    arguments: str | None = None
    likeliest: dict[str, float] | None = None


def texts_of(request: dict[str, Any]) -> dict[str, str]:
    return json.loads(request["messages"][-1]["content"])


def shouted(request: dict[str, Any]) -> Answer:
    """Every text in capitals, under its number."""
    return Answer(json.dumps({number: text.upper() for number, text in texts_of(request).items()}))


def failure(status: int, message: str = "no", **headers: str) -> Answer:
    body = json.dumps({"error": {"message": message, "type": "x", "code": None}})
    return Answer(status=status, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()})


class Stub:
    """The server. ``script`` holds answers, or functions of the request, one each; then ``otherwise`` answers."""

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.otherwise: Callable[[dict[str, Any]], Answer] = shouted
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.times: list[float] = []
        self.most_at_once = self._at_once = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def asked(self) -> list[dict[str, str]]:
        return [texts_of(request) for request in self.requests]

    def answer(self, request: dict[str, Any], key: str) -> Answer:
        with self._lock:
            self.requests.append(request)
            self.keys.append(key)
            self.times.append(time.monotonic())
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            step = self.script.pop(0) if self.script else self.otherwise
        try:
            answer = step(request) if callable(step) else step
            time.sleep(answer.delay)
            return answer
        finally:
            with self._lock:
                self._at_once -= 1

    def _handler(stub) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = stub.answer(request, self.headers.get("Authorization", ""))
                body = answer.body if answer.body is not None else completion(request, answer)
                data = body.encode()
                try:
                    self.send_response(answer.status)
                    for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:  # the client has given up waiting
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def completion(request: dict[str, Any], answer: Answer) -> str:
    """A chat completion; a token is four characters here."""
    told = sum(len(message["content"]) for message in request["messages"]) // 4
    usage = {"prompt_tokens": told, "completion_tokens": len(answer.content or "") // 4, "total_tokens": 0}
    message: dict[str, Any] = {"role": "assistant", "content": answer.content}
    if answer.arguments is not None:
        function = {"name": "make_partial_leaderboard", "arguments": answer.arguments}
        message["tool_calls"] = [{"id": "t", "type": "function", "function": function}]
    choice = {"index": 0, "finish_reason": answer.finish, "message": message, "logprobs": None}
    if answer.likeliest is not None:
        top = [{"token": token, "logprob": value, "bytes": None} for token, value in answer.likeliest.items()]
        choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}], "refusal": None}
    whole = {"id": "c", "object": "chat.completion", "created": 0, "model": request["model"], "choices": [choice]}
    return json.dumps(whole | ({"usage": usage} if answer.counted else {}))
