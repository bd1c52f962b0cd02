"""A TCP proxy before Redis that cuts a connection in the middle of a batch."""

import asyncio


class CuttingProxy:
    """Cuts the next batch when ``cut`` is set: ``half`` of it arrives, or all of it and it stays ``unanswered``.

    ``cuts`` counts them.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self.cut: str | None = None
        self.cuts = 0
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> str:
        """Listen, and return the URL of Redis through the proxy."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def __aexit__(self, *_error: object) -> None:
        """Stop listening, when the connections have ended."""
        self._server.close()
        if self._connections:
            await asyncio.wait(self._connections)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._carry(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        muted = False

        async def answers() -> None:
            while answer := await there_reader.read(65_536):
                if muted:
                    self.cuts += 1
                    return
                writer.write(answer)

        task = asyncio.create_task(answers())
        while not task.done() and (request := await reader.read(65_536)):
            if self.cut == "half" and b"EXEC" in request:
                there_writer.write(request[: len(request) // 2])
                self.cut = None
                self.cuts += 1
                break
            if self.cut == "unanswered" and b"EXEC" in request:
                muted, self.cut = True, None
                there_writer.write(request)
                await asyncio.wait({task})
                break
            there_writer.write(request)
        for each in (writer, there_writer):
            each.close()
        task.cancel()
        await asyncio.wait({task})
