# SPDX-License-Identifier: ISC
"""Goal: what an authenticator app gets from the QR code is what the service checks against. Each
step is done by a program that is not ours: zbarimg reads the picture, oathtool and pyotp compute
the code."""
import datetime
import shutil
import subprocess
import urllib.parse
import xml.etree.ElementTree

import pyotp
import pytest

from kit import HASHES, invalid, pb, seconds

for tool in ("zbarimg", "oathtool", "rsvg-convert"):
    if shutil.which(tool) is None:
        pytest.skip(tool + " is not installed", allow_module_level=True)

FORMS = [(h, d, p) for h in HASHES for d in (6, 8) for p in (15, 30, 60, 120)]
PIXELS = 4  # a module, where the picture is made here


def run(*argv, data=None):
    r = subprocess.run(argv, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert r.returncode == 0, (argv, r.stderr)
    return r.stdout


def read_picture(picture):
    """What zbarimg reads in an image of any format it knows."""
    return run("zbarimg", "--raw", "--quiet", "--nodbus", "-Sdisable", "-Sqrcode.enable", "-", data=picture).decode().rstrip("\n")


def from_svg(svg):
    return run("rsvg-convert", "--width", "600", "--background-color", "white", data=svg.encode())


def from_text(text):
    """A terminal's picture of it as PGM: blocks are light on a dark ground."""
    lines = text.rstrip("\n").split("\n")
    assert len({len(line) for line in lines}) == 1 and set(text) <= set(" ▀▄█\n")
    rows = []
    for line in lines:
        for light in ("▀█", "▄█"):
            row = b"".join((b"\xff" if c in light else b"\0") * PIXELS for c in line)
            rows += [row] * PIXELS
    return b"P5 %d %d 255\n" % (len(rows[0]), len(rows)) + b"".join(rows)


PICTURES = {
    pb.QR_FORMAT_UNSPECIFIED: lambda answer: answer.qr_png,
    pb.QR_FORMAT_PNG: lambda answer: answer.qr_png,
    pb.QR_FORMAT_SVG: lambda answer: from_svg(answer.qr_svg),
    pb.QR_FORMAT_TEXT: lambda answer: from_text(answer.qr_text),
}


def oathtool(uri, now_ms):
    """The code of a key URI at a time, by oathtool."""
    fields = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(uri).query))
    now = datetime.datetime.fromtimestamp(now_ms / 1000, datetime.timezone.utc)
    return run("oathtool", "--totp=" + fields["algorithm"], "--base32", "--digits", fields["digits"],
               "--time-step-size", fields["period"] + "s", "--now", now.strftime("%F %T UTC"),
               fields["secret"]).decode().strip()


@pytest.mark.parametrize("algorithm, digits, period", FORMS)
def test_a_code_by_oathtool_from_the_scanned_picture_is_accepted(service, algorithm, digits, period):
    tenant = service.tenant(algorithm=algorithm, digits=digits, period=seconds(period))
    answer = service.api.enroll(tenant, "ann@example.com", qr_format=pb.QR_FORMAT_PNG)
    uri = read_picture(answer.qr_png)
    assert uri == answer.otpauth_uri
    code = oathtool(uri, service.now)
    assert len(code) == digits
    assert service.api.outcome(tenant, "ann@example.com", code,
                               enrollment_id=answer.enrollment_id) == "ACCEPTED"
    code = oathtool(uri, service.now + period * 1000)
    assert service.api.outcome(tenant, "ann@example.com", code) == "ACCEPTED"


@pytest.mark.parametrize("algorithm, digits, period", FORMS)
def test_pyotp_reads_the_same_parameters(service, algorithm, digits, period):
    tenant = service.tenant(algorithm=algorithm, digits=digits, period=seconds(period),
                            issuer="CRM Söhne")
    answer = service.api.enroll(tenant, "u1", account_name="ann ü@x.")
    totp = pyotp.parse_uri(answer.otpauth_uri)
    assert (totp.secret, totp.digits, totp.interval) == (answer.secret_base32, digits, period)
    assert totp.digest is HASHES[algorithm]
    assert (totp.issuer, totp.name) == ("CRM Söhne", "ann ü@x.")
    assert service.api.outcome(tenant, "u1", totp.at(service.now // 1000),
                               enrollment_id=answer.enrollment_id) == "ACCEPTED"


@pytest.mark.parametrize("qr_format", PICTURES)
@pytest.mark.parametrize("algorithm", HASHES)
def test_every_picture_shows_the_uri(service, qr_format, algorithm):
    tenant = service.tenant(algorithm=algorithm)
    answer = service.api.enroll(tenant, "ann", qr_format=qr_format)
    assert read_picture(PICTURES[qr_format](answer)) == answer.otpauth_uri


@pytest.mark.parametrize("qr_format, filled", [
    (pb.QR_FORMAT_UNSPECIFIED, "qr_png"), (pb.QR_FORMAT_PNG, "qr_png"), (pb.QR_FORMAT_SVG, "qr_svg"),
    (pb.QR_FORMAT_TEXT, "qr_text"), (pb.QR_FORMAT_NONE, None)])
def test_only_the_asked_picture_is_there(service, qr_format, filled):
    answer = service.api.enroll(service.tenant(), "ann", qr_format=qr_format)
    assert [f for f in ("qr_png", "qr_svg", "qr_text") if getattr(answer, f)] == \
        ([filled] if filled else [])
    assert answer.otpauth_uri and answer.secret_base32


def test_the_svg_loads_nothing_and_runs_nothing(service):
    svg = service.api.enroll(service.tenant(), "<script>&\"'", qr_format=pb.QR_FORMAT_SVG).qr_svg
    root = xml.etree.ElementTree.fromstring(svg)
    assert {e.tag.split("}")[1] for e in root.iter()} <= {"svg", "path", "rect"}
    assert not [n for e in root.iter() for n in e.attrib if n.startswith("on") or "href" in n]


# ---- the URI ---------------------------------------------------------------------------------------------

def test_the_uri_is_as_promised(service):
    """Issuer in the label and as a parameter, percent-encoded, base32 without padding."""
    tenant = service.tenant(issuer="A B/?&=#%+ü")
    answer = service.api.enroll(tenant, "u", account_name="?&=#%+ü@")
    parts = urllib.parse.urlsplit(answer.otpauth_uri)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("otpauth", "totp", "")
    issuer, account = parts.path[1:].split(":")
    assert urllib.parse.unquote(issuer) == "A B/?&=#%+ü"
    assert urllib.parse.unquote(account) == "?&=#%+ü@"
    fields = [field.split("=") for field in parts.query.split("&")]
    assert [name for name, _ in fields] == ["secret", "issuer", "algorithm", "digits", "period"]
    assert dict(fields) == {"secret": answer.secret_base32, "issuer": issuer, "algorithm": "SHA1",
                            "digits": "6", "period": "30"}
    assert set(answer.secret_base32) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
    assert "+" not in answer.otpauth_uri and " " not in answer.otpauth_uri


@pytest.mark.parametrize("algorithm, size", [(pb.ALGORITHM_SHA1, 20), (pb.ALGORITHM_SHA256, 32),
                                             (pb.ALGORITHM_SHA512, 64)])
def test_a_secret_is_as_long_as_its_hash_and_never_the_same(service, algorithm, size):
    tenant = service.tenant(algorithm=algorithm)
    seen = {service.api.enroll(tenant, "ann").secret_base32 for _ in range(50)}
    assert len(seen) == 50
    assert all(len(pyotp.TOTP(s).byte_secret()) == size for s in seen)


def test_the_issuer_is_the_tenants_id_where_it_may_be_one(service):
    for tenant, issuer in (("plain", "plain"), ("with:colon", "twostep"), ("x" * 64, "x" * 64),
                           ("x" * 65, "twostep"), ("Müller, Söhne", "Müller, Söhne")):
        service.api.set_policy(tenant, enabled=True)
        assert pyotp.parse_uri(service.api.enroll(tenant, "u").otpauth_uri).issuer == issuer


def test_a_users_id_names_the_account_with_dashes_for_colons(service):
    answer = service.api.enroll(service.tenant(), "corp:ann:1")
    assert pyotp.parse_uri(answer.otpauth_uri).name == "corp-ann-1"
    with invalid("account_name"):
        service.api.enroll(service.tenant(), "ann", account_name="corp:ann")


@pytest.mark.parametrize("name", ["x" * 128, "é" * 64, "\U0001f600" * 32, "x y" * 42],
                         ids=["ascii", "two bytes", "four bytes", "blanks"])
@pytest.mark.parametrize("issuer", ["I" * 64, "short"], ids=["long issuer", "short issuer"])
def test_long_names_are_cut_so_that_phones_can_read_the_picture(service, name, issuer):
    """Never the secret and never the issuer; cut names end in an ellipsis."""
    answer = service.api.enroll(service.tenant(issuer=issuer), "ann", account_name=name,
                                qr_format=pb.QR_FORMAT_PNG)
    totp = pyotp.parse_uri(answer.otpauth_uri)
    assert totp.secret == answer.secret_base32 and totp.issuer == issuer
    assert totp.name == name or (totp.name.endswith("…") and name.startswith(totp.name[:-1])
                                 and len(totp.name) > 8)
    assert len(answer.otpauth_uri) <= 180 or len(totp.name) <= 9
    assert read_picture(answer.qr_png) == answer.otpauth_uri


def test_the_picture_has_the_quiet_zone_that_readers_want(service):
    """Four light modules on each side (ISO/IEC 18004)."""
    text = service.api.enroll(service.tenant(), "ann", qr_format=pb.QR_FORMAT_TEXT).qr_text
    lines = text.rstrip("\n").split("\n")
    assert set(lines[0] + lines[1]) == {"█"}
    assert all(line[:4] == line[-4:] == "████" for line in lines[:-1])
    assert set(lines[-1]) <= set("█▀") and len(set(lines[-1])) == 1
