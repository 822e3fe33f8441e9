"""What one client, and all of them together, may cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on what clients can make the server keep, do and wait for."""

    clients: int = 16
    """Players with a session; one more is refused with 453."""
    connections: int = 64
    """TCP connections, those that have not asked for anything included; one more gets 503."""
    head_bytes: int = 8192
    """Request line and headers together."""
    body_bytes: int = 16_384
    request_s: float = 10.0
    """From the first byte of a request to its last; for the first one, from the connection on."""
    idle_s: float = 60.0
    """A connection that plays nothing is closed after so long without a request."""
    session_s: float = 60.0
    """So long a player over UDP may be silent; told to it as the session's timeout."""
    stall_s: float = 15.0
    """A player over TCP that has taken nothing for so long is disconnected."""
    buffer_bytes: int = 1 << 20
    """Waiting for one player over TCP; above it, the player loses pictures up to a key picture."""
    describe_s: float = 10.0
    """How long DESCRIBE waits for the first key picture."""
    play_s: float = 2.0
    """How long PLAY waits for the key picture that its answer then names."""
    wrong_passwords: int = 5
    """On one connection, before it is closed."""
