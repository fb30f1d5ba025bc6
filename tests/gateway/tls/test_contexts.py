"""What certificates are made of: files, PEM texts, and what cannot be used."""

from __future__ import annotations

import os
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trustme

from config import Settings, dump_yaml, load
from gateway.serve import serve
from gateway.tls import BadTls, forward_tls, http_tls
from tests.gateway.tls.authority import write_ca, write_server


def settings(**tls: Any) -> Settings:
    return Settings.model_validate({"tls": tls})


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def shakes_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> str:
    """The TLS version that the two agree on, without a socket. Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    for _ in range(5):
        for side in (theirs, ours):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return str(ours.version())


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_without_a_certificate_there_is_no_tls() -> None:
    assert http_tls(Settings()) is None
    assert forward_tls(Settings()) is None
    for given in ({"key": "k"}, {"client_ca": "c"}):
        with pytest.raises(BadTls, match=r"tls\.key and tls\.client_ca need tls\.cert"):
            http_tls(settings(**given))


def test_files_and_pem_texts_are_the_same_and_texts_leave_no_file_behind(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = authority.issue_cert("127.0.0.1")
    cert, key = issued.cert_chain_pems[0].bytes().decode(), issued.private_key_pem.bytes().decode()
    (tmp_path / "c.pem").write_text(cert)
    (tmp_path / "k.pem").write_text(key)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    for given in (
        {"cert": str(tmp_path / "c.pem"), "key": str(tmp_path / "k.pem")},
        {"cert": cert, "key": key},
        {"cert": cert.replace("\n", "\\n"), "key": key.replace("\n", "\\n")},
        {"cert": str(tmp_path / "c.pem"), "key": key},
        {"cert": cert + key},
    ):
        tls = http_tls(settings(**given))
        assert tls is not None
        assert shakes_hands(tls.context, trusting(authority)) == "TLSv1.3"
    assert not list(temporary.iterdir())


def test_an_old_version_of_tls_is_not_spoken(authority: trustme.CA, tmp_path: Path) -> None:
    cert = write_server(authority, tmp_path / "s.pem")
    old = trusting(authority)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    default, newer = http_tls(settings(cert=cert)), http_tls(settings(cert=cert, min_version="1.3"))
    assert default is not None
    assert newer is not None
    assert shakes_hands(default.context, old) == "TLSv1.2"
    with pytest.raises(ssl.SSLError):
        shakes_hands(newer.context, old)


@pytest.mark.parametrize("wrong", ["missing", "rubbish", "another key", "a passphrase", "no authority"])
def test_what_cannot_be_used_is_named(authority: trustme.CA, tmp_path: Path, wrong: str) -> None:
    given = {"cert": write_server(authority, tmp_path / "s.pem")}
    named = r"tls\.cert"
    match wrong:
        case "missing":
            given["cert"] = str(tmp_path / "nothing.pem")
        case "rubbish":
            (tmp_path / "s.pem").write_text("rubbish")
        case "another key":
            authority.issue_cert("other").private_key_pem.write_to_path(tmp_path / "k.pem")
            given["key"] = str(tmp_path / "k.pem")
            named = r"tls\.cert and tls\.key"
        case "a passphrase":
            command = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-aes256"]
            key = subprocess.run([*command, "-pass", "pass:x"], capture_output=True, check=True).stdout
            (tmp_path / "k.pem").write_bytes(key)
            given["key"] = str(tmp_path / "k.pem")
            named = r"tls\.cert and tls\.key"
        case _:
            given["client_ca"] = os.devnull
            named = r"tls\.client_ca"
    with pytest.raises(BadTls, match=f"cannot use {named}: "):
        http_tls(settings(**given))


def test_a_server_with_tls_files_that_cannot_be_used_does_not_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = Settings.model_validate({"data_dir": str(tmp_path / "data"), "tls": {"cert": str(tmp_path / "no.pem")}})
    assert serve(bad) == 1
    assert "cannot use tls.cert" in capsys.readouterr().err


def test_keys_are_not_shown(authority: trustme.CA, tmp_path: Path) -> None:
    private = authority.issue_cert("127.0.0.1").private_key_pem.bytes().decode()
    given = settings(cert=f"{private}-----BEGIN CERTIFICATE-----", key=private, client_ca="/etc/ca.pem")
    shown = dump_yaml(given)
    assert "PRIVATE" not in shown
    assert "/etc/ca.pem" in shown
    assert "cert: /etc/c.pem" in dump_yaml(settings(cert="/etc/c.pem"))
    environ = {"WEIR_TLS__CERT": "/etc/c.pem", "WEIR_TLS__KEY": private, "WEIR_AUTH__ENABLED": "true"}
    loaded = load(environ=environ).settings
    assert loaded.tls.key.get_secret_value() == private
    assert loaded.auth.enabled
    config = tmp_path / "weir.yml"
    config.write_text("tls: {min_version: 1.3}\n")
    assert load(config).settings.tls.min_version == "1.3"


def test_forward_has_its_own_certificate_or_the_common_one(authority: trustme.CA, tmp_path: Path) -> None:
    cert, ca = write_server(authority, tmp_path / "s.pem"), write_ca(authority, tmp_path / "ca.pem")
    common = {"cert": cert, "client_ca": ca}
    both = Settings.model_validate({"tls": common, "forward": {"tls_cert": cert}})
    own = forward_tls(both)
    assert own is not None
    assert not own.wants_certificates
    shared = forward_tls(Settings.model_validate({"tls": common}))
    assert shared is not None
    assert shared.wants_certificates
    assert forward_tls(Settings.model_validate({"tls": common | {"forward": False}})) is None
    with pytest.raises(BadTls, match=r"forward\.tls_key and forward\.tls_client_ca need forward\.tls_cert"):
        forward_tls(Settings.model_validate({"tls": common, "forward": {"tls_key": "k"}}))
