"""Timestamps that always rise, whatever a source says: pure functions.

A source's clock is believed step by step. A step that the clock of arrivals contradicts by more
than a second is a jump, and time goes on as the pictures arrive instead. What is left of a
difference between the two clocks is taken away slowly, so that neither drift nor a burst after a
freeze is ever visible.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.live.access import CLOCK

JUMP_S = 1.0
"""A step that differs by more than this from the clock of arrivals is a jump."""
_PATIENCE_S = 2.0
"""How long the output may lie more than `JUMP_S` behind the arrivals: the pictures that a network
held back come within this, or never."""
_FARTHEST_S = 10.0
"""How far the output may run ahead of the arrivals, after a burst of what a server had kept."""
_SLEW = 0.01
"""Share of a step by which the output is moved towards the arrivals."""
_BRAKE = 0.5
"""The same where it is more than `JUMP_S` ahead."""
_TICK_S = float(CLOCK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Where a healed stream is: everything that the next timestamp depends on."""

    pts: int
    """Of the last picture, in units of `CLOCK`."""
    exact_s: float
    """The same before rounding, so that roundings do not add up."""
    arrival_s: float
    """When it arrived."""
    source_s: float | None
    """Its own time on the source's clock; None where that is unknown, as after a reconnect."""
    late_since_s: float | None = None
    """Since when the output has been more than `JUMP_S` behind the arrivals."""
    begin_s: float = 0.0
    """Arrival of the first picture: the zero of `exact_s`."""
    jumped: bool = False
    """The last step was a jump."""
    healed: bool = False
    """The last timestamp is not what the source said."""


def begin(source_s: float | None, arrival_s: float) -> Timeline:
    """Return the timeline of a first picture: it has time zero."""
    return Timeline(
        pts=0, exact_s=0.0, arrival_s=arrival_s, source_s=source_s, begin_s=arrival_s, jumped=True
    )


def reconnected(timeline: Timeline) -> Timeline:
    """Return a timeline that goes on by the clock of arrivals, as the source's has changed."""
    return Timeline(
        pts=timeline.pts,
        exact_s=timeline.exact_s,
        arrival_s=timeline.arrival_s,
        source_s=None,
        begin_s=timeline.begin_s,
    )


def heal(timeline: Timeline, source_s: float | None, arrival_s: float) -> Timeline:
    """Return the timeline one picture further on.

    Args:
        timeline: Up to the picture before.
        source_s: The picture's time on the source's clock, in seconds; None where it has none.
        arrival_s: When it arrived, on a clock that never goes back.
    """
    waited = max(0.0, arrival_s - timeline.arrival_s)
    said = None if source_s is None or timeline.source_s is None else source_s - timeline.source_s
    step, jumped = _believed(said, waited)
    ahead = timeline.exact_s + step - (arrival_s - timeline.begin_s)
    late_since = None
    if ahead < -JUMP_S:
        late_since = arrival_s if timeline.late_since_s is None else timeline.late_since_s
    if late_since is not None and arrival_s - late_since > _PATIENCE_S:
        step, jumped, late_since = step - ahead, True, None
    else:
        step = _slewed(step, ahead)
    exact_s = timeline.exact_s + max(step, _TICK_S)
    pts = max(timeline.pts + 1, round(exact_s / _TICK_S))
    return Timeline(
        pts=pts,
        exact_s=max(exact_s, pts * _TICK_S - _TICK_S / 2),
        arrival_s=max(arrival_s, timeline.arrival_s),
        source_s=source_s,
        late_since_s=late_since,
        begin_s=timeline.begin_s,
        jumped=jumped,
        healed=jumped or said is None or said <= 0,
    )


def _believed(said: float | None, waited: float) -> tuple[float, bool]:
    """Return a step in seconds, and whether the source's own was a jump."""
    if said is None:
        return waited, False
    if said < -JUMP_S or said > waited + JUMP_S:
        return waited, True
    # A repeated or slightly earlier timestamp says nothing: cameras write them when the exposure
    # changes. Half of the wait leaves room for the next one, which is right again.
    return (said, False) if said > 0 else (waited / 2, False)


def _slewed(step: float, ahead: float) -> float:
    """Return a step that brings the output closer to the arrivals."""
    if ahead > _FARTHEST_S:
        return 0.0
    share = _BRAKE if ahead > JUMP_S else _SLEW
    return step - min(max(ahead, -share * step), share * step)
