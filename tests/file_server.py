"""A web server on this machine with one file, which can hang up, lie about its length, or hold another file."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """What the server does: `content`, the bytes after which it hangs up, and the headers of each request."""

    def __init__(self, content: bytes) -> None:
        self.content, self.cut, self.etag, self.length = content, 0, '"one"', None
        self.requests: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *arguments) -> None:
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/model.pt"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        headers = dict(request.headers)
        self.requests.append(headers)
        if "missing" in request.path:
            request.send_error(404)
            return
        first = 0
        if "Range" in headers and headers.get("If-Range") == self.etag:
            first = int(headers["Range"].removeprefix("bytes=").removesuffix("-"))
        request.send_response(206 if first else 200)
        request.send_header("Content-Length", str(self.length or len(self.content) - first))
        request.send_header("ETag", self.etag)
        request.end_headers()
        request.wfile.write(self.content[first : self.cut or None])
