"""A simulated Schwab on one loopback port: OAuth, REST and streamer, with switchable faults and seeded prices.

It follows docs/protocol.md, section 9, and never contacts Schwab.
"""

from schwabstream.simulator.faults import Faults
from schwabstream.simulator.server import SchwabSimulator
from schwabstream.simulator.tape import Tape

__all__ = ["Faults", "SchwabSimulator", "Tape"]
