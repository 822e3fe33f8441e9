import io
import json
import logging
import re
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.live.events import event_handler, log_event
from pipeline.live.redaction import mask

SCHEMES = st.sampled_from(["rtsp", "rtsps", "http", "https", "RTMP", "srt+x"])
USERS = st.from_regex(r"[A-Za-z0-9_.%-]{1,12}", fullmatch=True)
# Anything that somebody may type, but no white space: with that it is no address.
PASSWORDS = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=("Z", "C")),
    min_size=1,
    max_size=20,
).map(lambda text: f"S3CRET{text}S3CRET")
HOSTS = st.from_regex(r"[a-z0-9.-]{1,12}(:[0-9]{1,5})?", fullmatch=True)
WORDS = st.text(st.characters(exclude_characters="@:/?#", exclude_categories=("C",)), max_size=20)


@contextmanager
def logging_to(form):
    """A logger of its own and the lines that it has written."""
    stream = io.StringIO()
    handler = event_handler(form, stream)
    logger = logging.getLogger("pipeline.live.tests")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield logger, stream
    finally:
        logger.removeHandler(handler)
        logger.propagate = True


def only_line(stream):
    (line,) = stream.getvalue().splitlines()
    return json.loads(line)


@settings(deadline=None)
@given(SCHEMES, USERS, PASSWORDS, HOSTS, WORDS, WORDS)
def test_no_password_outlives_the_mask(scheme, user, password, host, before, after):
    text = f"{before} {scheme}://{user}:{password}@{host}/live {after}"
    masked = mask(text)
    assert "S3CRET" not in masked
    assert masked == f"{before} {scheme}://{host}/live {after}"
    assert mask(masked) == masked


@settings(deadline=None)
@given(SCHEMES, USERS, PASSWORDS, HOSTS)
def test_no_password_gets_into_a_line(scheme, user, password, host):
    url = f"{scheme}://{user}:{password}@{host}/live"
    for form in ("text", "json"):
        with logging_to(form) as (logger, stream):
            logger.error("cannot open %s", url)
            logger.error("cannot open %(url)s", {"url": url})
            logger.error("wrong format %d", url)
            logger.error("%s://%s:%s@%s", scheme, user, password, host)
            log_event(logger, "x", url, camera="a", fields={"url": url, "deep": [{"url": (url,)}]})
            try:
                raise OSError(url)
            except OSError:
                logger.exception("failed", stack_info=True)
        assert "S3CRET" not in stream.getvalue()
        assert json.dumps("S3CRET")[1:-1] not in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("rtsp://admin:1@cam/1", "rtsp://cam/1"),
        ("rtsp://admin@cam/1", "rtsp://cam/1"),
        ("rtsp://a:b@c/1 and rtsp://d:e@f/2", "rtsp://c/1 and rtsp://f/2"),
        ("['rtsp://a:p@ss:w0rd@c:554/1']", "['rtsp://c:554/1']"),
        ("rtsp://cam/user=admin&password=hush&ch=1", "rtsp://cam/user=admin&password=***&ch=1"),
        ("http://cam:80/x?pwd=hush#top", "http://cam:80/x?pwd=***#top"),
        ("rtsp://10.0.0.2:554/stream?profile=1", "rtsp://10.0.0.2:554/stream?profile=1"),
        ("me@example.org wrote a:b@c", "me@example.org wrote a:b@c"),
        ("rtsp://me@site.example:p/w@cam/1", "rtsp://cam/1"),
        ("rtsp://cam/user=a_PassWord=*hush*", "rtsp://cam/user=a_PassWord=***"),
        ("http://cam/x?a=1&access_token=hush&b=2", "http://cam/x?a=1&access_token=***&b=2"),
        ("", ""),
    ],
)
def test_only_secrets_are_masked(text, masked):
    assert mask(text) == masked


def test_event_is_one_json_object_in_one_line():
    with logging_to("json") as (logger, stream):
        log_event(
            logger,
            "source.offline",
            "100 % lost,\nreally",
            level=logging.WARNING,
            camera="Gärten",
            fields={"tries": 3, "wait_s": 0.5, "level": "mine", "nan": float("nan"), "path": io},
        )
    line = only_line(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("ts"))
    assert line.pop("path").startswith("<module 'io'")
    assert line == {
        "level": "warning",
        "event": "source.offline",
        "camera": "Gärten",
        "message": "100 % lost,\nreally",
        "tries": 3,
        "wait_s": 0.5,
        "nan": None,
    }


def test_ordinary_record_is_an_event_too():
    with logging_to("json") as (logger, stream):
        try:
            raise ValueError("wrong")
        except ValueError:
            logger.exception("it failed with %s", "this")
    line = only_line(stream)
    assert line["event"] == "log"
    assert line["camera"] is None
    assert line["message"] == "it failed with this"
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: wrong")


@settings(deadline=None)
@given(st.text(), st.dictionaries(st.text(), st.floats() | st.text() | st.binary()))
def test_every_event_is_valid_json(message, fields):
    with logging_to("json") as (logger, stream):
        log_event(logger, "any", message, fields=fields)
    line = stream.getvalue()
    assert line.isascii()
    assert line.count("\n") == 1
    json.loads(line, parse_constant=lambda name: pytest.fail(name))


def test_people_read_time_level_camera_message_and_fields():
    with logging_to("text") as (logger, stream):
        log_event(logger, "x", "no answer", level=logging.WARNING, camera="front",
                  fields={"tries": 3})  # fmt: skip
        logger.info("all is well")
    first, second = stream.getvalue().splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d warning front: no answer \(tries=3\)", first)
    assert re.fullmatch(r"\d\d:\d\d:\d\d all is well", second)


def test_people_see_tracebacks():
    with logging_to("text") as (logger, stream):
        try:
            raise ValueError("http://a:b@c/")
        except ValueError:
            logger.exception("failed")
    assert stream.getvalue().endswith("ValueError: http://c/\n")
