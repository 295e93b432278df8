"""Serves OpenAI's HTTP API as far as the tests need it, with what it was sent in its answers: serve_openai.py PORT.

A streamed chat sends its first event at once and the others only when `POST /v1/signal` came, so that a client can tell
events that are passed on as they come from those that are held back.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODEL = "tiny-upstream"
signal = threading.Semaphore(0)


class API(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, content, status=200):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, kind, message):
        self.answer({"error": {"message": message, "type": kind, "param": None, "code": None}}, status)

    def begin_events(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def event(self, data, name=None):
        text = (f"event: {name}\n" if name else "") + f"data: {data}\n\n"
        # Cut where no event ends: a chunk's border means nothing.
        for part in (text[:7], text[7:]):
            self.wfile.write(f"{len(part.encode()):x}\r\n".encode() + part.encode() + b"\r\n")
            self.wfile.flush()

    def end_events(self):
        self.wfile.write(b"0\r\n\r\n")

    def do_GET(self):
        if self.path == "/v1/files":
            return self.answer({"object": "list", "data": [], "has_more": False})
        self.refuse(404, "invalid_request_error", f"no {self.path} here")

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/v1/signal":
            signal.release()
            return self.answer({})
        body = json.loads(raw)
        if body["model"] != MODEL:
            return self.refuse(404, "invalid_request_error", f"the backend has no model {body['model']}")
        if self.headers.get("Accept-Encoding") not in (None, "identity"):
            return self.refuse(400, "invalid_request_error", "compression was asked for")
        if self.path == "/v1/chat/completions":
            return self.chat(body)
        if self.path == "/v1/completions":
            choice = {"index": 0, "text": body["prompt"][::-1], "finish_reason": "stop", "logprobs": None}
            return self.answer(
                {"id": "cmpl", "object": "text_completion", "created": 1, "model": MODEL, "choices": [choice],
                 "usage": {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}})
        if self.path == "/v1/embeddings":
            rows = [{"object": "embedding", "index": i, "embedding": [float(len(text)), 0.5]}
                    for i, text in enumerate(body["input"])]
            return self.answer(
                {"object": "list", "model": MODEL, "data": rows, "usage": {"prompt_tokens": 7, "total_tokens": 7}})
        if self.path == "/v1/responses":
            return self.respond(body)
        self.refuse(404, "invalid_request_error", f"no {self.path} here")

    def chat(self, body):
        text = body["messages"][-1]["content"]
        if text == "too many":
            return self.refuse(429, "rate_limit_error", "slow down")
        usage = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15,
                 "prompt_tokens_details": {"cached_tokens": 8}}
        if not body.get("stream"):
            message = {"role": "assistant", "content": text.upper(), "refusal": None}
            return self.answer(
                {"id": "chat", "object": "chat.completion", "created": 1, "model": MODEL, "usage": usage,
                 "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}]})
        self.begin_events()
        frame = {"id": "chat", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "usage": None}
        for position, word in enumerate(text.split()):
            if position:
                signal.acquire()
            self.event(json.dumps(frame | {"choices": [{"index": 0, "delta": {"content": word}}]}))
        if body.get("stream_options", {}).get("include_usage"):
            self.event(json.dumps(frame | {"choices": [], "usage": usage}))
        self.event("[DONE]")
        self.end_events()

    def respond(self, body):
        content = {"type": "output_text", "text": body["input"].upper(), "annotations": []}
        message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [content]}
        response = {"id": "resp", "object": "response", "created_at": 1, "model": MODEL, "output": [message],
                    "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "status": "completed",
                    "usage": {"input_tokens": 20, "output_tokens": 30, "total_tokens": 50,
                              "input_tokens_details": {"cached_tokens": 0},
                              "output_tokens_details": {"reasoning_tokens": 10}}}
        if not body.get("stream"):
            return self.answer(response)
        self.begin_events()
        created = response | {"status": "in_progress", "output": [], "usage": None}
        for number, (name, state) in enumerate([("response.created", created), ("response.completed", response)]):
            self.event(json.dumps({"type": name, "sequence_number": number, "response": state}), name)
        self.end_events()


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), API)
    server.daemon_threads = True
    server.serve_forever()
