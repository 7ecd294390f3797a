"""The option `proxy` of weir/aws.h: requests in clear are handed to the proxy whole, TLS goes through
a tunnel, and what arrives is still signed for the service. call_judge puts our side on a command line."""

import http.server
import socket
import threading

import pytest

from local import LocalAws
from test_s3_calls import OK, TRANSIENT, Judge

NOWHERE = "http://127.0.0.1:1"  # where nobody listens


class Proxy:
    """Takes requests for any host to one port of this machine, and writes down what it was asked."""

    def __init__(self, port):
        asked = self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                asked.append(f"POST {self.path}")
                body = self.rfile.read(int(self.headers["Content-Length"]))
                head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items()
                               if name.lower() not in ("connection", "proxy-connection"))
                with socket.create_connection(("127.0.0.1", port), timeout=60) as server:
                    path = "/" + self.path.split("//", 1)[1].partition("/")[2]
                    server.sendall(f"POST {path} HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode() + body)
                    while data := server.recv(65536):
                        self.wfile.write(data)
                self.close_connection = True

            def do_CONNECT(self):
                asked.append(f"CONNECT {self.path}")
                with socket.create_connection(("127.0.0.1", port), timeout=60) as server:
                    self.send_response(200)
                    self.end_headers()
                    back = threading.Thread(target=pass_on, args=(server, self.connection))
                    back.start()
                    pass_on(self.connection, server)
                    back.join(60)
                self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join(60)
        self.server.server_close()


def pass_on(source, to):
    try:
        while data := source.recv(65536):
            to.sendall(data)
        to.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def list_streams(call):
    return call(None, body=b"{}", target="Kinesis_20131202.ListStreams", attempts=1)


@pytest.fixture
def local(tmp_path):
    with LocalAws(tmp_path, "--auth", "verify", "--stream", "seen:1", "--tls-self-signed", tmp_path / "tls") as it:
        yield it


def test_a_request_in_clear_goes_to_the_proxy(local):
    with Judge(NOWHERE, "local", "local-secret", service="kinesis") as call:
        alone = list_streams(call)
    assert (alone["kind"], alone["http"]) == (TRANSIENT, 0), alone
    with Proxy(local.port) as proxy:
        with Judge(NOWHERE, "local", "local-secret", service="kinesis", proxy=proxy.url) as call:
            answer = list_streams(call)
        assert answer["kind"] == OK and b'"seen"' in answer["body"], answer
        assert proxy.asked == [f"POST {NOWHERE}/"]


def test_tls_goes_through_a_tunnel(local):
    endpoint = local.tls_endpoint.replace("127.0.0.1", "localhost")
    with Proxy(local.port) as proxy:
        with Judge(endpoint, "local", "local-secret", service="kinesis", proxy=proxy.url,
                   ca_bundle=local.ready["certificate"]) as call:
            answer = list_streams(call)
        assert answer["kind"] == OK and b'"seen"' in answer["body"], answer
        assert proxy.asked == [f"CONNECT {endpoint.removeprefix('https://')}"]
