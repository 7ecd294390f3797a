"""A Kinesis endpoint that answers as a test's script says: throttling, 5xx, garbage, silence.

Between the scripted answers it serves streams held in memory, so that a test can ask whether
anything got lost on the way.
"""

import base64
import collections
import json
import socket
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = collections.namedtuple("Answer", "status body content_type close")


def error(kind, message="", status=400):
    """An error answer in the service's own shape."""
    return Answer(status, json.dumps({"__type": kind, "message": message}).encode(),
                  "application/x-amz-json-1.1", False)


def throttled():
    return error("ProvisionedThroughputExceededException", "Rate exceeded for shard")


def garbage(status=200, body=b"\x00\xff<html>not json"):
    return Answer(status, body, "text/html", False)


def hang_up():
    return Answer(0, b"", "", True)


class Shard:
    def __init__(self, number):
        self.id = f"shardId-{number:012d}"
        self.records = []


class KinesisStub:
    def __init__(self, port=0):
        self.streams = {}
        self.script = collections.defaultdict(collections.deque)  # operation -> answers to come
        self.calls = collections.Counter()
        self.lock = threading.Lock()
        self.port = port
        self.server = None
        self.connections = set()
        self.ahead_s = 0  # of this service's clock

    # ---- what a test says ----

    def create_stream(self, name, shards=1):
        self.streams[name] = [Shard(i) for i in range(shards)]

    def put(self, name, data, shard=0, key="k"):
        with self.lock:
            records = self.streams[name][shard].records
            records.append({"Data": base64.b64encode(data).decode(), "PartitionKey": key,
                            "ApproximateArrivalTimestamp": 1.7672256e9 + len(records) / 1000,
                            "SequenceNumber": f"49{len(records) + 1:054d}"})

    def answer_next(self, operation, *answers):
        """The next calls of an operation get these answers, then the stream serves again."""
        with self.lock:
            self.script[operation].extend(answers)

    def pending(self, operation):
        with self.lock:
            return len(self.script[operation])

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    # ---- life ----

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = stub.answer(self.path, self.headers, body)
                if answer.close:
                    self.close_connection = True
                    self.connection.close()
                    return
                self.send_response_only(answer.status)
                self.send_header("Date", formatdate(time.time() + stub.ahead_s, usegmt=True))
                self.send_header("Content-Type", answer.content_type)
                self.send_header("Content-Length", str(len(answer.body)))
                self.send_header("x-amzn-RequestId", "11111111-2222-3333-4444-555555555555")
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_POST = do_PUT = answer_any  # the base class's naming

            def log_message(self, *_):
                pass

            def handle(self):
                with stub.lock:
                    stub.connections.add(self.connection)
                try:
                    super().handle()
                except (OSError, ValueError):
                    pass  # the client hung up, or was hung up on
                finally:
                    with stub.lock:
                        stub.connections.discard(self.connection)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 64

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        """Nobody listens afterwards; start() comes back on the same port."""
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
            with self.lock:
                for connection in self.connections:
                    try:
                        connection.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass  # it is gone already

    # ---- the service ----

    def answer(self, path, headers, body):
        """To any request; `path` with its query."""
        operation = headers.get("X-Amz-Target", ".").split(".")[1]
        return self.serve(operation, headers.get("Content-Type", ""), body)

    def serve(self, operation, content_type, body):
        with self.lock:
            self.calls[operation] += 1
            if self.script[operation]:
                return self.script[operation].popleft()
        if not content_type.startswith("application/x-amz-json-1.1"):
            # The real service knows CBOR as well; a client must fall back when one does not.
            return error("SerializationException", f"unsupported content type {content_type}")
        request = json.loads(body or b"{}")
        handler = getattr(self, "do_" + operation, None)
        if not handler:
            return error("UnknownOperationException", operation)
        answer = handler(request)
        if isinstance(answer, Answer):
            return answer
        return Answer(200, json.dumps(answer).encode(), "application/x-amz-json-1.1", False)

    def stream_of(self, request):
        name = request.get("StreamName") or request.get("StreamARN", "").rsplit("/", 1)[-1]
        return name, self.streams.get(name)

    def missing(self, name):
        return error("ResourceNotFoundException",
                     f"Stream {name} under account 000000000000 not found.")

    def do_ListShards(self, request):
        if "NextToken" in request:
            return error("ExpiredNextTokenException", "expired")
        name, shards = self.stream_of(request)
        if shards is None:
            return self.missing(name)
        width = 2**128 // len(shards)
        return {"Shards": [
            {"ShardId": s.id,
             "HashKeyRange": {"StartingHashKey": str(i * width), "EndingHashKey": str((i + 1) * width - 1)},
             "SequenceNumberRange": {"StartingSequenceNumber": "49" + "0" * 54}}
            for i, s in enumerate(shards)]}

    def do_DescribeStreamSummary(self, request):
        name, shards = self.stream_of(request)
        if shards is None:
            return self.missing(name)
        return {"StreamDescriptionSummary": {
            "StreamName": name, "StreamARN": f"arn:aws:kinesis:us-east-1:000000000000:stream/{name}",
            "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24, "EnhancedMonitoring": [],
            "StreamCreationTimestamp": 1.7e9, "OpenShardCount": len(shards)}}

    def do_GetShardIterator(self, request):
        name, shards = self.stream_of(request)
        if shards is None:
            return self.missing(name)
        numbers = [i for i, s in enumerate(shards) if s.id == request["ShardId"]]
        if not numbers:
            return self.missing(request["ShardId"])
        records = shards[numbers[0]].records
        kind, at = request["ShardIteratorType"], 0
        if kind == "LATEST":
            at = len(records)
        elif kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
            at = int(request["StartingSequenceNumber"][2:]) - (kind == "AT_SEQUENCE_NUMBER")
        elif kind == "AT_TIMESTAMP":
            at = sum(r["ApproximateArrivalTimestamp"] < request["Timestamp"] for r in records)
        return {"ShardIterator": f"{name}/{numbers[0]}/{max(0, at)}"}

    def do_GetRecords(self, request):
        name, number, at = request["ShardIterator"].rsplit("/", 2)
        at = int(at)
        records = self.streams[name][int(number)].records
        chosen = records[at:at + min(request.get("Limit", 10000), 500)]
        at += len(chosen)
        return {"Records": chosen, "NextShardIterator": f"{name}/{number}/{at}",
                "MillisBehindLatest": 0 if at >= len(records) else 60000}
