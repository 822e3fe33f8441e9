"""Who may watch."""

import hashlib
import re

import pytest

from pipeline.live.rtsp.address import Credentials
from pipeline.live.rtsp.digest import Admission, DigestGuard
from pipeline.live.rtsp.message import Request

PEER = "127.0.0.1"
URL = "rtsp://127.0.0.1:8554/clean"
HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def guard(clock):
    return DigestGuard(Credentials(user="mé", password="sécret"), lifetime_s=60, clock=clock)


def nonce_of(challenges):
    return re.search(r'nonce="([^"]+)"', challenges[0][1])[1]


def signed(
    nonce, *, user="mé", password="sécret", method="PLAY", algorithm=None, qop=None, uri=URL
):
    """What a player answers, by the book (RFC 7616, 3.4.1)."""
    digest = HASHES[algorithm or "MD5"]

    def h(text):
        return digest(text.encode()).hexdigest()

    middle = f"{nonce}:00000001:c:auth" if qop else nonce
    response = h(f"{h(f'{user}:demoire:{password}')}:{middle}:{h(f'{method}:{uri}')}")
    fields = f'username="{user}", realm="demoire", nonce="{nonce}", uri="{uri}"'
    fields += f', response="{response}"'
    if algorithm:
        fields += f", algorithm={algorithm}"
    if qop:
        fields += ', qop=auth, nc=00000001, cnonce="c"'
    # Headers reach us as Latin-1.
    return f"Digest {fields}".encode().decode("latin-1")


def verdict(guard, header, *, method="PLAY", peer=PEER, trusted=""):
    return guard.judge(header, method, is_ours=URL.__eq__, peer=peer, trusted=trusted)[0]


@pytest.mark.parametrize("algorithm", [None, "MD5", "SHA-256"])
@pytest.mark.parametrize("qop", [None, "auth"])
def test_right_password_is_let_in(guard, algorithm, qop):
    nonce = nonce_of(guard.challenges(PEER))
    assert verdict(guard, signed(nonce, algorithm=algorithm, qop=qop)) == "right"


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": "other"},
        {"user": "other"},
        {"method": "SETUP"},
        {"uri": "rtsp://127.0.0.1:8554/other"},
    ],
)
def test_anything_else_is_not(guard, wrong):
    assert verdict(guard, signed(nonce_of(guard.challenges(PEER)), **wrong)) == "wrong"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Digest",
        "Basic bWU6c2VjcmV0",
        'Digest username="mé", response=""',
        'Digest username="m", realm="demoire", nonce="", uri="", response="", algorithm=MD5-sess',
        'Digest username="m", realm="demoire", nonce="", uri="", response="", qop=auth-int',
        'Digest username="m", realm="demoire", nonce="", uri="", response="", qop=auth',
        'Digest username="\\', 'Digest ====""""',
    ],
)  # fmt: skip
def test_header_that_signs_nothing_is_wrong(guard, header):
    assert verdict(guard, header) == "wrong"


def test_old_nonce_is_stale_and_a_new_one_is_offered(guard, clock):
    nonce = nonce_of(guard.challenges(PEER))
    clock.now += 61
    assert verdict(guard, signed(nonce)) == "stale"
    assert verdict(guard, signed(nonce, password="other")) == "wrong"
    challenges = guard.challenges(PEER, stale=True)
    assert all("stale=true" in value for _, value in challenges)
    assert verdict(guard, signed(nonce_of(challenges))) == "right"


def test_nonce_that_let_a_connection_in_does_not_grow_old_there(guard, clock):
    nonce = nonce_of(guard.challenges(PEER))
    clock.now += 3600
    assert verdict(guard, signed(nonce), trusted=nonce) == "right"
    assert verdict(guard, signed(nonce), trusted="other") == "stale"


@pytest.mark.parametrize("nonce", ["", "1", "f4240-", "f4240-" + "0" * 32, "zz-é", "-" * 99])
def test_made_up_nonce_is_stale(guard, nonce):
    assert verdict(guard, signed(nonce)) in ("stale", "wrong")


def test_nonce_of_another_client_is_stale(guard):
    nonce = nonce_of(guard.challenges("127.0.0.2"))
    assert verdict(guard, signed(nonce)) == "stale"


def test_md5_is_offered_last_as_players_take_the_last(guard):
    offered = [re.search(r"algorithm=([^,]+)", value)[1] for _, value in guard.challenges(PEER)]
    assert offered == ["SHA-256", "MD5"]


def test_connection_is_closed_after_too_many_wrong_passwords(guard, caplog):
    caplog.set_level("DEBUG")
    admission = Admission(guard, PEER, tries=3)
    nonce = nonce_of(guard.challenges(PEER))

    def refusal(**fields):
        header = signed(nonce, **fields) if fields else ""
        headers = {"authorization": header} if fields else {}
        request = Request(method="PLAY", url=URL, headers=headers, sequence=1)
        return admission.refusal(request, URL.__eq__)

    assert refusal().status == 401  # asked without, to be told how
    assert [refusal(password="typo").closes for _ in range(3)] == [False, False, True]
    assert refusal(password="sécret") is None
    assert "typo" not in caplog.text
    assert "cret" not in caplog.text
