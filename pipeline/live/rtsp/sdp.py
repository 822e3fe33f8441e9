"""The description of the stream that players ask for first."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.live.access import VideoTrack
from pipeline.live.rtsp.packets import RtpTrack

CONTROL = "trackID="


def describe(tracks: Sequence[RtpTrack], video: VideoTrack, *, host: str, number: int) -> bytes:
    """Write the SDP.

    Args:
        tracks: The picture, and the sound if there is any.
        video: What is known of the picture.
        host: The server's address as the player sees it.
        number: Of the presentation; a new one for each start of the server.
    """
    kind, anywhere = ("IP6", "::") if ":" in host else ("IP4", "0.0.0.0")
    lines = [
        "v=0",
        f"o=- {number} 1 IN {kind} {host.partition('%')[0]}",
        "s=demoire",
        f"c=IN {kind} {anywhere}",
        "t=0 0",
        "a=control:*",
    ]
    for track, medium in zip(tracks, ("video", "audio"), strict=False):
        lines += [
            f"m={medium} 0 RTP/AVP {track.payload_type}",
            f"a=rtpmap:{track.payload_type} {track.form.rtpmap}",
        ]
        if parameters := track.form.parameters():
            lines.append(f"a=fmtp:{track.payload_type} {parameters}")
        if medium == "video":
            lines.append(f"a=framerate:{float(video.frame_rate):g}")
        lines.append(f"a=control:{CONTROL}{track.number}")
    return ("\r\n".join(lines) + "\r\n").encode()
