"""What the simulator received and sent, for tests to assert on."""

from dataclasses import dataclass, field
from typing import Any

_KEPT = 50_000


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One HTTP request; ``query`` holds the first value of each parameter, ``at`` is the simulator's clock."""

    method: str
    path: str
    query: dict[str, str]
    status: int
    at: float


@dataclass(slots=True)
class Received:
    """Everything received since the start; the newest 50,000 of each list are kept."""

    commands: list[dict[str, Any]] = field(default_factory=list)
    """Streamer commands, in order, as the client sent them."""
    requests: list[SeenRequest] = field(default_factory=list)
    refreshes: int = 0
    """Token calls with a refresh token, refused ones included."""
    connection_times: list[float] = field(default_factory=list)
    """When streamer connections were opened, by the simulator's clock."""
    frames_sent: int = 0
    entries_sent: int = 0

    def add_command(self, command: dict[str, Any]) -> None:
        """Note one streamer command."""
        self.commands.append(command)
        _trim(self.commands)

    def add_request(self, request: SeenRequest) -> None:
        """Note one HTTP request."""
        self.requests.append(request)
        _trim(self.requests)

    def add_connection(self, at: float) -> None:
        """Note the time of one streamer connection."""
        self.connection_times.append(at)
        _trim(self.connection_times)

    def sent(self, service: str, command: str) -> list[dict[str, Any]]:
        """The commands of one service and kind."""
        return [each for each in self.commands if each.get("service") == service and each.get("command") == command]

    def paths(self) -> list[str]:
        """The paths of all HTTP requests, in order."""
        return [each.path for each in self.requests]


def _trim(items: list[Any]) -> None:
    if len(items) > 2 * _KEPT:
        del items[:-_KEPT]
