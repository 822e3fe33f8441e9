"""The web page of `demoire live`: before and after, figures and controls in a browser.

One WebSocket per page carries the access units that the encoder made anyway; the page decodes
them with WebCodecs, or takes them as fragments of MP4 where the browser has no WebCodecs.
"""

from pipeline.live.web.camera import CameraView, Control, Which
from pipeline.live.web.server import WebServer
from pipeline.live.web.viewer import Limits

__all__ = ["CameraView", "Control", "Limits", "WebServer", "Which"]
