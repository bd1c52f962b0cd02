"""The HTTP half of the Schwab that is measured against: OAuth, userPreference, quotes; a thread, idle during a run."""

import http.server
import json
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

_TOKEN = {
    "expires_in": 1800,
    "token_type": "Bearer",
    "scope": "api",
    "refresh_token": "R0.benchmark@",
    "access_token": "I0.benchmark@",
    "id_token": "x.y.z",
}


def streamer_info(socket_url: str) -> dict[str, str]:
    """One element of userPreference's ``streamerInfo`` (protocol 2.1)."""
    return {
        "streamerSocketUrl": socket_url,
        "schwabClientCustomerId": "b" * 64,
        "schwabClientCorrelId": "00000000-0000-4000-8000-000000000000",
        "schwabClientChannel": "N9",
        "schwabClientFunctionId": "APIAPP",
    }


def write_token_file(path: Path) -> None:
    """Write a login that is fresh for as long as a benchmark may last, as schwab-py keeps it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    now = int(time.time())
    path.write_text(json.dumps({"creation_timestamp": now, "token": _TOKEN | {"expires_at": now + 1800}}))
    path.chmod(0o600)


def serve_front(socket_url: str) -> int:
    """Answer HTTP on loopback until the process ends; returns the port."""

    class Front(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer(_TOKEN)

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path.endswith("/userPreference"):
                offers = [{"level2Permissions": True, "mktDataPermission": "NP"}]
                self._answer({"accounts": [], "streamerInfo": [streamer_info(socket_url)], "offers": offers})
            elif url.path.endswith("/quotes"):
                keys = parse_qs(url.query)["symbols"][0].split(",")
                self._answer({key: {"symbol": key, "reference": {"exchange": "Q"}} for key in keys})
            else:
                self._answer({})

        def _answer(self, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Keep quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Front)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port
