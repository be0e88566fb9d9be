"""A small web server for tests: echoes, big bodies, chunks, slow streams. HTTP/1.1 with keep-alive."""
import hashlib
import http.server
import json
import socketserver
import sys
import threading
import time

barriers, barriers_lock = {}, threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, body, status=200, kind="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def chunked_body(self):
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            data = self.rfile.read(size)
            self.rfile.readline()
            if not size:
                return
            yield data

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            yield from self.chunked_body()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            data = self.rfile.read(min(left, 65536))
            if not data:
                return
            left -= len(data)
            yield data

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/headers":
            self.reply(json.dumps([[k.lower(), v] for k, v in self.headers.items()]).encode(), kind="application/json")
        elif path.startswith("/big/"):
            self.big(int(path[5:]))
        elif path.startswith("/together/"):
            self.together(*map(int, path.split("/")[2:]))
        elif path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for i in range(5):
                self.wfile.write(b"6\r\npart%d\n\r\n" % i)
                self.wfile.flush()
                time.sleep(0.1)
            self.wfile.write(b"0\r\n\r\n")
        elif path == "/slow":
            self.send_response(200)
            self.send_header("Content-Length", "600")
            self.end_headers()
            for _ in range(600):
                self.wfile.write(b".")
                time.sleep(0.1)
        elif path.startswith("/repeat/"):
            self.send_response(200)
            self.send_header("Content-Length", str(1200 * len(path)))
            self.end_headers()
            for _ in range(1200):
                self.wfile.write(path.encode())
                time.sleep(0.05)
        elif path == "/until-close":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"until close")
            self.close_connection = True
        else:
            self.reply(b"hello from the backend\n")

    def together(self, count, size):
        """`size` bytes for each, once `count` requests are here at the same time."""
        with barriers_lock:
            barrier = barriers.setdefault(count, threading.Barrier(count))
        try:
            barrier.wait(50)
        except threading.BrokenBarrierError:
            self.reply(b"not all came", 503)
            return
        self.big(size)

    def big(self, size):
        block = bytes(range(256)) * 256
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        while size > 0:
            self.wfile.write(block[:size])
            size -= len(block)

    do_HEAD = do_GET

    def do_POST(self):
        sum_, count = hashlib.sha256(), 0
        for data in self.body():
            sum_.update(data)
            count += len(data)
        self.reply(json.dumps({"sha256": sum_.hexdigest(), "bytes": count}).encode(), kind="application/json")

    do_PUT = do_POST


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 256


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
