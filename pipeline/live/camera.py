"""One camera: its source, its network and its encoder, which nothing outside can hold up.

Three threads: `source` leaves what arrives in a mailbox that holds the newest pictures only,
`clean` takes them from there, and `encode` hands access units to the outlets. Whatever is too slow,
the mailbox lets go of the oldest picture, and `clean` of those that would come too late.
While nothing arrives, `clean` goes on with a card over the last picture.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from pipeline.errors import DemoireError
from pipeline.live.access import CLOCK, AccessUnit, VideoTrack
from pipeline.live.card import blank, with_card
from pipeline.live.chain import DEFAULT_SIZE, Chain, open_chain, output_info, sound_unit
from pipeline.live.cleaning import Cleaning, steps_of
from pipeline.live.encoder import LiveEncoder
from pipeline.live.events import log_event
from pipeline.live.ladder import Ladder
from pipeline.live.meter import Delays, Rate
from pipeline.live.moire_meter import MoireMeter
from pipeline.live.outlets.hub import Hub
from pipeline.live.redaction import without_secrets
from pipeline.live.sources.supervisor import SourceEvent, Supervisor
from pipeline.live.status import Status
from pipeline.runner import carry_over
from pipeline.threads import Channel, Mailbox, ThreadGroup

if TYPE_CHECKING:
    from engines.engine import Engine, Smoothing
    from pipeline.frame import Frame
    from pipeline.live.config import CameraConfig, EncodeConfig
    from pipeline.live.control import LiveControl

log = logging.getLogger(__name__)

_WAITING_SHARE = 0.6
"""Of the delay that is allowed, what pictures may wait for the network: a hiccup of the machine
costs none."""
_USUAL_RATE = 30
_ORIGINALS = 2
"""Pictures that wait to be shown as they came."""
_AWAY_S = 1.0
"""Without a picture for so long, the card is shown."""
_CARD_EVERY_S = 0.2
_SAY_EVERY_S = 60.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0


class Camera:
    """One source on its way to its outlets.

    Args:
        name: For people; holds nothing secret.
        config: Of this camera.
        encode: How pictures are encoded.
        engines: By model: the one asked for first, then a smaller one for when it is too slow.
        control: What can be changed meanwhile.
        max_delay_s: From arrival to the encoded picture.
    """

    def __init__(
        self,
        name: str,
        config: CameraConfig,
        encode: EncodeConfig,
        *,
        engines: Mapping[str, Engine],
        control: LiveControl,
        max_delay_s: float,
    ) -> None:
        self.name, self.control, self.hub = name, control, Hub()
        self._config, self._encode, self._max_delay_s = config, encode, max_delay_s
        self._address = without_secrets(config.source)
        self._over = threading.Event()
        self._supervisor = Supervisor(
            config.source, config.options, stop=self._over, on_event=self._on_source
        )
        waiting = max(2, round(_WAITING_SHARE * max_delay_s * _USUAL_RATE))
        self._mailbox: Mailbox[Frame] = Mailbox(waiting, carry_over)
        self._engines = dict(engines)
        self._steps = steps_of(tuple(engines))
        self._by_name = {step.name: step for step in self._steps}
        self._cleaning = self._begin_cleaning()
        self._ladder = Ladder(list(self._by_name), start_s=perf_counter())
        self._began_s = perf_counter()
        self._chain: Chain | None = None
        self._first: Frame | None = None
        self._shown: Frame | None = None
        self._arrived_s = perf_counter()
        self._pts = -1
        self._overdue = self._seen_drops = self._repeated = 0
        self._in, self._out, self._delays = Rate(), Rate(), Delays()
        self._cost_s = 0.0
        self._used = self._steps[0].name
        self._asked: Smoothing | None = None
        self._hopeless: DemoireError | None = None
        self._said: dict[str, tuple[str, float]] = {}
        self._reader: threading.Thread | None = None
        self._moire = MoireMeter()
        self._viewers: dict[str, Callable[[], int]] = {}
        self._originals: Mailbox[tuple[Frame, int]] = Mailbox(_ORIGINALS)
        self._original_encoder: LiveEncoder | None = None
        self._push_original: Callable[[AccessUnit], None] | None = None
        self._watched = 0

    def open(self, *, wait_s: float) -> Chain:
        """Start reading, wait for the first picture, and return what the output will be.

        A source that does not come in time gets the size that is configured, or 1280x720.

        Raises:
            SinkError: No encoder opens.
            ConfigError: The source's address is wrong.
        """
        self._reader = threading.Thread(
            target=self._read, name=f"demoire-{self.name}-source", daemon=True
        )
        self._reader.start()
        self._first = self._mailbox.take(wait_s)
        if self._hopeless is not None:
            raise self._hopeless
        seen = self._supervisor.info if self._first is not None else None
        if seen is None and self._config.size is None:
            width, height = DEFAULT_SIZE
            self._say(
                "source.absent",
                f"{self._address} is not there; the output is {width}x{height} (--size WxH)",
                level=logging.WARNING,
            )
        self._chain = chain = open_chain(
            output_info(seen, self._config.size),
            self._encode,
            rate=self._config.rate,
            audio=self._supervisor.audio,
        )
        info = chain.info
        self._prepare(self._first or blank(info.width, info.height))
        return self._chain

    def watch_viewers(self, outlet: str, count: Callable[[], int]) -> None:
        """Have the status say how many look at an outlet."""
        self._viewers[outlet] = count

    def open_original(self) -> VideoTrack:
        """Have pictures as they came encoded, too, while somebody watches; return their track."""
        self._original_encoder = self._opened.open_original_encoder()
        return self._original_encoder.track

    def show_original(self, push: Callable[[AccessUnit], None]) -> None:
        """Name who takes the units of `open_original`."""
        self._push_original = push

    def on_viewers(self, count: int) -> None:
        """Note how many look at the page: with none, no original is encoded."""
        self._watched = count

    def request_key(self, which: str = "clean") -> None:
        """Make the next picture one that decoding can start at."""
        encoder = self._original_encoder if which == "original" else None
        if encoder is None and self._chain is not None:
            encoder = self._chain.encoder
        if encoder is not None:
            encoder.request_key()

    def stop(self) -> None:
        """Have `run` end within half a second."""
        self._over.set()
        self._mailbox.close()

    def run(self) -> None:
        """Clean and encode until stopped, or until a source that has an end has ended.

        An engine or an encoder that fails is made anew, after growing pauses.
        """
        try:
            pause_s = _FIRST_PAUSE_S
            while not self._over.is_set():
                begun = self._out.count
                try:
                    self._run_once()
                    if self._hopeless is not None:
                        self._say("source.failed", str(self._hopeless), level=logging.ERROR)
                    return
                except DemoireError as error:
                    self._say("chain.failed", str(error), level=logging.ERROR)
                except Exception:  # a bug of ours must not end what runs for months
                    log.exception("%s: the chain failed; it is made anew", self.name)
                if self._out.count > begun:
                    pause_s = _FIRST_PAUSE_S
                self._over.wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                self._reopen()
        finally:
            self.close()

    def close(self) -> None:
        """End all threads and give everything back; not while `run` is at work; twice is once."""
        self.stop()
        if self._reader is not None:
            self._reader.join()
        self._cleaning.close()
        self._moire.close()
        self._close_encoders()

    def _run_once(self) -> None:
        chain = self._opened
        fitter = chain.fitter()
        originals: Mailbox[tuple[Frame, int]] = Mailbox(_ORIGINALS)
        self._originals = originals
        with ThreadGroup(body=f"{self.name}-encode") as group:
            cleaned: Channel[Frame] = group.channel(1)
            group.start(f"{self.name}-clean", self._cleaned, into=cleaned)
            if self._original_encoder is not None:
                group.run(f"{self.name}-original", partial(self._encode_originals, originals))
            try:
                for frame in cleaned:
                    self._emit(fitter.fit(frame), chain.encoder)
            finally:
                originals.close()

    def _reopen(self) -> None:
        """Make what may have broken anew."""
        self._cleaning.close()
        self._cleaning = self._begin_cleaning()
        self._close_encoders()
        try:
            self._chain = self._opened.with_new_encoder()
            if self._original_encoder is not None:
                self._original_encoder = self._opened.open_original_encoder()
        except DemoireError as error:
            self._say("chain.failed", str(error), level=logging.ERROR)
        self._asked = None

    def _close_encoders(self) -> None:
        chain = self._chain
        for encoder in (None if chain is None else chain.encoder, self._original_encoder):
            if encoder is not None:
                encoder.close()

    def _begin_cleaning(self) -> Cleaning:
        return Cleaning(self._engines, self._steps, on_error=self._on_left_out)

    @property
    def _opened(self) -> Chain:
        assert self._chain is not None, "open() comes first"
        return self._chain

    def status(self) -> Status:
        """Return what is going on; from any thread."""
        source, values = self._supervisor.state, self.control.now
        before, after = self._moire.latest
        return Status(
            camera=self.name,
            source=self._address,
            state=source.state,
            state_s=source.state_s,
            error=source.error,
            uptime_s=perf_counter() - self._began_s,
            frames_in=source.frames,
            frames_out=self._out.count,
            dropped=self._mailbox.dropped + self._overdue,
            repeated=self._repeated,
            reconnects=source.reconnects,
            fps_in=self._in.per_second,
            fps_out=self._out.per_second,
            delay_ms=self._delays.percentile_ms(0.5),
            delay_p99_ms=self._delays.percentile_ms(0.99),
            queues={"clean": self._mailbox.waiting, "original": self._originals.waiting},
            step="bypass" if values.bypass else self._used,
            steps=self._ladder.changes,
            moire_before=before,
            moire_after=after,
            viewers={name: count() for name, count in self._viewers.items()},
            encoder=self._chain.encoder.name if self._chain else "",
            strength=values.strength,
            smoothing=str(values.smoothing),
            bypass=values.bypass,
        )

    def _read(self) -> None:
        try:
            for frame in self._supervisor.arrivals():
                self._in.tick()
                self._mailbox.put(frame)
        except DemoireError as error:  # what no other try would change: a wrong parameter
            self._hopeless = error
        finally:
            self._mailbox.close()

    def _prepare(self, frame: Frame) -> None:
        """Have the network compiled for a frame, and wait for it before the first is shown."""
        smoothing = self._asked = self.control.smoothing
        self._cleaning.prepare(frame.format, smoothing)
        self._cleaning.wait_ready(self._steps[0], smoothing, timeout_s=10)

    def _cleaned(self) -> Iterator[Frame]:
        """Yield cleaned frames, or a card while there are none."""
        # What came while graphs were compiled was never meant to be kept up with.
        self._seen_drops = self._mailbox.dropped
        frame, self._first = self._first, None
        late: Frame | None = None
        while not self._over.is_set():
            if frame is None:
                away_s = perf_counter() - self._arrived_s
                frame = self._mailbox.take(_CARD_EVERY_S if away_s > _AWAY_S else _AWAY_S - away_s)
            if frame is not None:
                self._arrived_s = perf_counter()
                frame = frame if late is None else carry_over(late, frame)
                late = frame if self._is_overdue(frame) else None
                if late is None:
                    yield self._clean(frame)
            elif self._mailbox.ended:
                return
            elif not self._over.is_set():
                yield self._card()
            frame = None

    def _is_overdue(self, frame: Frame) -> bool:
        """Leave out a frame that would come too late, and say so to the ladder."""
        now_s = perf_counter()
        drops = self._mailbox.dropped
        late, self._seen_drops = drops - self._seen_drops, drops
        age_s = 0.0 if frame.left_source_s is None else now_s - frame.left_source_s
        # Never the newest: with a network slower than the contract, nothing would be shown.
        overdue = age_s + self._cost_s > self._max_delay_s and self._mailbox.waiting > 0
        self._overdue += overdue
        if self._cleaning.busy:  # with what will be needed later: that says nothing of now
            self._ladder.settle(now_s)
            return overdue
        for _ in range(late + overdue):
            if self._ladder.late(now_s):
                self._on_step("down")
        return overdue

    def _clean(self, frame: Frame) -> Frame:
        began_s = perf_counter()
        values = self.control.now
        if values.bypass:
            done, used = replace(frame, before=frame.planes), self._steps[-1]
        else:
            done, used = self._cleaning.clean(
                frame,
                self._by_name[self._ladder.step],
                strength=values.strength,
                smoothing=self._smoothing(frame),
            )
        now_s = perf_counter()
        self._cost_s = now_s - began_s
        self._used = used.name
        if not values.bypass:  # which says nothing of what a step costs
            self._judge(now_s)
        self._moire.offer(done)
        self._shown = done
        return done

    def _judge(self, now_s: float) -> None:
        """Let the ladder see what the last picture cost."""
        interval_s = 1 / max(1.0, self._in.per_second or float(self._opened.frame_rate))
        if self._ladder.worked(self._cost_s, now_s, interval_s):
            self._on_step("down")
        elif self._ladder.kept_up(now_s, interval_s):
            self._on_step("up")

    def _smoothing(self, frame: Frame) -> Smoothing | None:
        """Return what is asked for, and have it made ready when that has changed."""
        wanted = self.control.smoothing
        if wanted != self._asked:
            self._cleaning.prepare(frame.format, wanted)
            self._asked = wanted
        return wanted

    def _card(self) -> Frame:
        """Return the last picture with a card over it, at the time that it is now."""
        info, state = self._opened.info, self._supervisor.state
        last = self._shown or blank(info.width, info.height)
        words = "connecting" if state.state == "connecting" else "offline"
        away_s = perf_counter() - self._arrived_s
        card = with_card(last, (words, f"{away_s:.0f} s"))
        self._repeated += 1
        pts = round(last.pts * last.time_base / CLOCK + away_s / float(CLOCK))
        return replace(card, pts=pts, time_base=CLOCK, packets=(), before=(), left_source_s=None)

    def _emit(self, frame: Frame, encoder: LiveEncoder) -> None:
        """Encode a frame that fits, and hand it and the sound before it to the outlets."""
        self._pts = pts = max(round(frame.pts * frame.time_base / CLOCK), self._pts + 1)
        # A source that returns with other sound would break what outlets were told of it.
        if self._opened.audio is not None and self._supervisor.audio == self._opened.audio:
            for packet in frame.packets:
                self.hub.push(sound_unit(packet))
        for unit in encoder.encode(frame, pts):
            self.hub.push(unit)
        self._out.tick()
        if frame.left_source_s is not None:
            self._delays.add(perf_counter() - frame.left_source_s)
        if self._watched:
            self._originals.put((frame, pts))

    def _encode_originals(self, originals: Mailbox[tuple[Frame, int]]) -> None:
        encoder, push = self._original_encoder, self._push_original
        assert encoder is not None
        fitter = self._opened.fitter()
        while not originals.ended:
            taken = originals.take()
            if taken is None or push is None:
                continue
            frame, pts = taken
            original = replace(frame, planes=frame.before or frame.planes)
            for unit in encoder.encode(fitter.fit(original), pts):
                push(unit)

    def _on_step(self, way: str) -> None:
        self._say(
            f"ladder.{way}",
            f"{'too slow' if way == 'down' else 'there is room'}: now {self._ladder.step}",
            level=logging.WARNING if way == "down" else logging.INFO,
            step=self._ladder.step,
            cost_ms=round(1000 * self._cost_s),
            delay_ms=round(self._delays.percentile_ms(0.5) or 0),
            dropped=self._mailbox.dropped + self._overdue,
        )

    def _on_left_out(self, message: str) -> None:
        self._say("ladder.left_out", f"cannot be used to keep up: {message}", level=logging.WARNING)

    def _on_source(self, event: SourceEvent) -> None:
        level = logging.WARNING if event.kind in ("offline", "stalled") else logging.INFO
        if self._is_repeated(event):
            level = logging.DEBUG
        self._say(
            f"source.{event.kind}", event.message, level=level, seconds=round(event.seconds, 3)
        )

    def _is_repeated(self, event: SourceEvent) -> bool:
        """Whether the same was said of the source within the last minute: it is tried for ever."""
        now_s = perf_counter()
        if event.kind == "online":
            self._said.clear()
            return False
        before = self._said.get(event.kind)
        if before is not None and before[0] == event.message and now_s - before[1] < _SAY_EVERY_S:
            return True
        self._said[event.kind] = event.message, now_s
        return False

    def _say(
        self, event: str, message: str, *, level: int = logging.INFO, **fields: object
    ) -> None:
        log_event(log, event, message, level=level, camera=self.name, fields=fields)
