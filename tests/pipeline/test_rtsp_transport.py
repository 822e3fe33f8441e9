"""What players may ask of the transport."""

import pytest

from pipeline.live.rtsp.transport import TcpRequest, UdpRequest, read_transport


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("RTP/AVP/TCP;unicast;interleaved=0-1", TcpRequest(channel=0)),
        ("RTP/AVP/TCP;interleaved=254-255", TcpRequest(channel=254)),
        ("RTP/AVP/TCP;unicast", TcpRequest(channel=None)),
        ("RTP/AVP;unicast;client_port=5000-5001", UdpRequest(rtp_port=5000, rtcp_port=5001)),
        ("RTP/AVP/UDP;unicast;client_port=5000", UdpRequest(rtp_port=5000, rtcp_port=5001)),
        ('rtp/avp;client_port=5000-5007;mode="PLAY"', UdpRequest(rtp_port=5000, rtcp_port=5007)),
        (
            "RTP/AVP;multicast;client_port=5000-5001,RTP/AVP/TCP;interleaved=2-3",
            TcpRequest(channel=2),
        ),
        (
            "RTP/AVP;client_port=5000-5001;destination=10.0.0.1",
            UdpRequest(rtp_port=5000, rtcp_port=5001),
        ),
    ],
)
def test_first_possible_offer_is_taken(header, expected):
    assert read_transport(header) == expected


@pytest.mark.parametrize(
    "header",
    [
        "",
        ",;,=",
        "RTP/AVP",
        "RTP/AVP;multicast;port=5000-5001",
        "RTP/SAVP;unicast;client_port=5000-5001",
        "RTP/AVP/TCP;interleaved=255-256",
        "RTP/AVP/TCP;interleaved=0-7",
        "RTP/AVP/TCP;interleaved=-1",
        "RTP/AVP/TCP;interleaved=x",
        "RTP/AVP;client_port=0-1",
        "RTP/AVP;client_port=22-23",
        "RTP/AVP;client_port=65535",
        "RTP/AVP;client_port=99999-99999",
        "RTP/AVP;client_port=5000-5001;mode=record",
    ],
)
def test_what_cannot_be_had_is_not_taken(header):
    assert read_transport(header) is None
