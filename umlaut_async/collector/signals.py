"""The packets of a connection between a measured process and a collector in another one.

Each of them arrives whole or not at all. A signal is one packet that any thread sends on the measured path; a message
is as many packets as it takes, which only the loop of its end sends.
"""

from __future__ import annotations

import struct

ENTER, FIRST_EDGE, LAST_EDGE = range(3)
"""The kinds of signals: a call uses a series, or wants a reading at one of its edges."""

SIGNAL = struct.Struct("<BBIQq")
"""The tag of a signal, its kind, the numbers of the series and of the call, and the start of the call."""

SIGNAL_TAG, PART_TAG, LAST_TAG, WHOLE_TAG = range(4)
"""What a packet is: a signal, a part of a message, the last part of it, or a whole message."""
PACKET = 60_000
"""How many bytes of a message a packet holds, well below what a socket takes at once."""
