"""A server to publish to, as a process: `python live_receiver.py URL` prints what arrives."""

import sys

import av


def main(url):
    options = {"analyzeduration": "100000"}
    if url.startswith("rtmp"):
        options |= {"listen": "1"}
    else:
        options |= {"rtsp_flags": "listen", "listen_timeout": "30", "rtsp_transport": "tcp"}
    # FFmpeg's own server takes one publisher and ends with it.
    with av.open(url, options=options) as container:
        for packet in container.demux():
            if not packet.size:
                continue
            unit = packet.time_base
            # RTSP tells the time of the first packet later.
            time_s = (packet.pts or 0) * unit.numerator / unit.denominator
            kind = "key" if packet.is_keyframe else "other"
            words = packet.stream.type, packet.stream.codec_context.name, kind, str(time_s)
            sys.stdout.write(" ".join(words) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
