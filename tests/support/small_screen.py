"""A full-screen program that shows a counter, in a fraction of the time that a command takes to start.

Run it as a script: q leaves it, x makes it fail, and every ending signal ends it.
"""

import asyncio
import os
import time

from rich.console import ConsoleDimensions, RenderableType
from rich.text import Text

from schwabstream.commands.signals import until_signalled
from schwabstream.terminal.screen.live_screen import LiveScreen

LAST = "the last page"


class Counter:
    """A view that counts its frames and lists the keys."""

    def __init__(self) -> None:
        self._frames, self._keys = 0, ""
        self.left = False

    def press(self, key: str) -> None:
        """Note the key; q leaves."""
        self._keys += f"<{key}>"
        self.left = key == "q"

    def changes(self, now_s: float) -> None:
        """Each frame is whole."""

    def render(self, now_s: float, size: ConsoleDimensions | None = None) -> RenderableType:
        """The counter, the size and the keys."""
        if "<x>" in self._keys:
            raise RuntimeError("failed as asked")
        self._frames += 1
        return Text(f"pid {os.getpid()} frame {self._frames} size {size and tuple(size)} keys {self._keys}")


async def main() -> None:
    """Show the counter until left, failed or signalled."""
    view = Counter()
    screen = LiveScreen(view, share=0.05)
    try:
        while not screen.is_left:
            await screen.draw(time.time())
    finally:
        screen.close(Text(LAST))


async def run() -> None:
    """End without an error at a signal."""
    await until_signalled(asyncio.ensure_future(main()))


if __name__ == "__main__":
    asyncio.run(run())
