"""A TCP proxy of the tests' own, which is cut, goes deaf and comes back as a test says.

It listens on a port of the system's choice and keeps that port while it refuses: another program
that took it meanwhile would answer in its place.
"""

import selectors
import socket
import threading


class TcpProxy:
    """Forwards connections to (host, port) from construction to close()."""

    def __init__(self, port, host="127.0.0.1"):
        self.target = (host, port)
        self.lock = threading.Lock()
        self.open = True  # new connections are forwarded
        self.deaf = False  # bytes are taken and go nowhere
        self.cut_after = None  # bytes of answers until every connection is cut
        self.refused = 0  # connections that were accepted only to be reset
        self.pairs = set()
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.ended = False
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    # ---- what a test says ----

    def cut(self):
        """Resets every connection and each new one, until restore()."""
        with self.lock:
            self.open = False
        self._reset_all()

    def silence(self):
        """Connections stay, and new ones are made, but nothing passes until restore()."""
        with self.lock:
            self.deaf = True

    def cut_within(self, count):
        """Cuts every connection once when `count` more bytes of answers have passed."""
        with self.lock:
            self.cut_after = count

    def restore(self):
        """Lets new connections pass. Those that were deaf are reset: they lost bytes."""
        with self.lock:
            was_deaf, self.open, self.deaf = self.deaf, True, False
        if was_deaf:
            self._reset_all()

    def close(self):
        self.ended = True
        self.cut()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- how ----

    def _reset_all(self):
        with self.lock:
            pairs = list(self.pairs)
        for pair in pairs:
            for end in pair:
                try:  # the thread that serves it wakes up and closes it
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # it has ended by itself

    def _accept(self):
        while not self.ended:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                passes = self.open
            server = None
            if passes:
                try:
                    server = socket.create_connection(self.target, 30)
                except OSError:
                    pass
            if server is None:
                self.refused += 1
                # With linger 0 the other end sees a reset, as from a port where nobody listens.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.close()
                continue
            pair = (client, server)
            with self.lock:
                self.pairs.add(pair)
                late = not self.open
            self.threads = [t for t in self.threads if t.is_alive()]
            self.threads.append(threading.Thread(target=self._serve, args=pair, daemon=True))
            self.threads[-1].start()
            if late:
                self._reset_all()

    def _serve(self, client, server):
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(client, selectors.EVENT_READ, server)
                selector.register(server, selectors.EVENT_READ, client)
                while all(self._pass_on(key.fileobj, key.data, key.fileobj is server)
                          for key, _ in selector.select()):
                    pass
        except OSError:
            pass  # one end is gone, so the other one goes too
        finally:
            with self.lock:
                self.pairs.discard((client, server))
            client.close()
            server.close()

    def _pass_on(self, source, target, answer):
        """False when the connection is over."""
        data = source.recv(65536)
        cut = False
        with self.lock:
            deaf = self.deaf
            if answer and self.cut_after is not None:
                self.cut_after -= len(data)
                if self.cut_after < 0:
                    data, self.cut_after, cut = data[:self.cut_after], None, True
        if data and not deaf:
            target.sendall(data)
        if cut:
            self._reset_all()
        return bool(data) and not cut
