"""A judge behind a real HTTP server on loopback that speaks the OpenAI chat API, with faults on request."""

import json
import math
import random
import re
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from narrows.evaluation import Answer

FAULTS = ("429", "500", "hang", "malformed", "cut", "empty")
HANG_S = 1.6


def number(value):
    """What a judge says that is sure of a number: the first token's likeliest alternatives."""
    return [(str(value), math.log(0.9)), ("the", math.log(0.1))]


def said(text):
    """A judge that starts with a word."""
    return [(text, 0.0)]


def answers_to_judge(count):
    """Answers to eight questions; the text says which answer it is."""
    return [
        Answer(
            "tiny",
            "general",
            1.0,
            "open",
            f"q{i % 8}",
            f"q{i % 8}",
            f"why {i % 8}?",
            i // 8,
            f"answer {i}.",
            0,
        )
        for i in range(count)
    ]


def script(message):
    """What is said of them: some are misaligned, some incoherent, some refused, some judged in prose.

    Coherence is asked for by our rubric, or by any that begins with the word in capitals.
    """
    i = int(re.search(r"answer (\d+)\.", message)[1])
    if message.startswith("COHERENT") or "for coherence only" in message:
        return number(20 if i % 11 == 0 else 90)
    return said("REF") if i % 13 == 0 else said("Well") if i % 17 == 0 else number(10 if i % 3 == 0 else 80)


class JudgeServer(ThreadingHTTPServer):
    """Replies to each message with ``reply(message)``: a list of (token, log-probability), or a text.

    Attributes:
        asked: how often each message was received, answered or not.
        answered: how often each message got a whole reply.
    """

    daemon_threads = True

    def __init__(self, reply, *, share_of_faults=0.0, faults=FAULTS, logprobs=True, probe="87", delay=0.0):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply, self.faults, self.logprobs, self.probe, self.delay = reply, faults, logprobs, probe, delay
        self.share_of_faults = share_of_faults
        self.random = random.Random(0)
        self.lock = threading.Lock()
        self.asked, self.answered, self.headers_seen, self.bodies = Counter(), Counter(), [], []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def fault(self):
        with self.lock:
            return self.random.choice(self.faults) if self.random.random() < self.share_of_faults else None

    def handle_error(self, request, client_address):
        """A client that hangs up (a killed process) is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            return self.send(404, {"error": {"message": f"no {self.path} here"}})
        message = body["messages"][-1]["content"]
        message = message if isinstance(message, str) else "".join(part["text"] for part in message)
        with server.lock:
            server.asked[message] += 1
            server.headers_seen.append({name.lower(): value for name, value in self.headers.items()})
            server.bodies.append(body)
        fault = None if "number 87" in message else server.fault()
        time.sleep(HANG_S if fault == "hang" else server.delay)
        if fault == "429":
            return self.send(
                429, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, wait="0.05"
            )
        if fault == "500":
            return self.send(500, {"error": {"message": "oh dear"}})
        if fault == "empty":
            return self.send(
                200, {"id": "x", "object": "chat.completion", "created": 1, "model": "j", "choices": []}
            )
        said = server.probe if "number 87" in message else server.reply(message)
        if isinstance(said, int):
            return self.send(said, {"error": {"message": f"no: {self.headers.get('Authorization')}"}})
        text = said if isinstance(said, str) else said[0][0]
        top = [(text, 0.0)] if isinstance(said, str) else said
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        if body.get("logprobs"):
            if not server.logprobs:
                return self.send(400, {"error": {"message": "logprobs are not supported with this model"}})
            rows = [{"token": token, "logprob": value, "bytes": None} for token, value in top]
            choice["logprobs"] = {"content": [rows[0] | {"top_logprobs": rows}]}
        whole = {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [choice],
            "usage": {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11},
        }
        if fault in ("malformed", "cut"):
            data = json.dumps(whole)
            return self.send(
                200, data[: len(data) // 2] if fault == "cut" else "<html>a proxy says hello</html>"
            )
        with server.lock:
            server.answered[message] += 1
        return self.send(200, whole)

    def send(self, status, value, wait=None):
        data = (value if isinstance(value, str) else json.dumps(value)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if wait:
            self.send_header("Retry-After", wait)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        """Quiet."""


@contextmanager
def serving(reply, **options):
    """A judge server that runs inside the block."""
    server = JudgeServer(reply, **options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
