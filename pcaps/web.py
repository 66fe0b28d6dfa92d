"""The web server of the recorded pods: answers every GET with the pod's name.

`/large` is answered with a body of several full-sized segments.
"""

import sys
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer

LARGE_BYTES = 6000


class Web(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"{sys.argv[1]}\n".encode()
        if self.path == "/large":
            body += b"." * (LARGE_BYTES - len(body))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(TCPServer):  # not HTTPServer, which asks DNS for its own name
    allow_reuse_address = True


if __name__ == "__main__":
    Server(("0.0.0.0", 8080), Web).serve_forever()
