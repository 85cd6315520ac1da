"""XML of providers: read into plain elements, and refused where it is more than a provider has to say."""

from __future__ import annotations

import pytest

from fileplane.errors import UpstreamAnswerInvalid
from fileplane.providers.refusals import refusal
from fileplane.providers.xml_answers import parse_xml
from fileplane.secrets.values import Secret

ENTITIES = "".join(f'<!ENTITY e{number} "{f"&e{number - 1};" * 10 if number else "ha"}">' for number in range(12))


def test_elements_are_read_without_namespace_attributes_and_comments() -> None:
    root = parse_xml(
        '<?xml version="1.0"?><a xmlns="urn:x" b="c"><!-- no --><k>1 &amp; &#50;</k><k><![CDATA[<é>]]></k><d><e/></d></a>'.encode()
    )
    assert (root.name, [one.text for one in root.all("k")], root.value("k")) == ("a", ["1 & 2", "<é>"], "1 & 2")
    assert [one.name for found in root.all("d") for one in found.children] == ["e"]
    assert root.value("nothing") is None


def test_white_space_that_kept_the_call_alive_is_passed_over() -> None:
    root = parse_xml(b'\n\r\n\r <?xml version="1.0" encoding="UTF-8"?>\n<a><k>1</k></a>\n')
    assert (root.name, root.value("k")) == ("a", "1")


def test_a_text_that_thousands_of_children_interrupt_is_read_whole_and_in_one_pass() -> None:
    piece = "x" * 150
    root = parse_xml(f"<a>{f'{piece}<b>y</b>' * 49_000}</a>".encode())
    assert root.text == piece * 49_000
    assert {one.text for one in root.children} == {"y"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no xml",
        b"<a>",
        b"<a></b>",
        b"<a/><b/>",
        b"\xff\xfe<a/>",
        b"<a>\xff</a>",
        b"<a>\x00</a>",
        b"<a>&unknown;</a>",
        b"<!DOCTYPE a><a/>",
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1/x"><a/>',
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        f"<!DOCTYPE a [{ENTITIES}]><a>&e11;</a>".encode(),
        b"<?stylesheet x?><a/>",
        b"<a>" * 100 + b"</a>" * 100,
        b"<a>" + b"<b/>" * 60_000 + b"</a>",
    ],
    ids=lambda body: repr(body[:30]),
)
def test_what_is_dangerous_endless_or_none_is_refused(body: bytes) -> None:
    with pytest.raises(UpstreamAnswerInvalid):
        parse_xml(body)


def test_a_refusal_in_xml_has_its_code_and_message_without_secrets() -> None:
    secret = Secret("wJalrXUtnFEMI-K7MDENG")
    inner = f"<Error><Code>SignatureDoesNotMatch</Code><Message>No: {secret.reveal()}.</Message><StringToSign>x</StringToSign></Error>"
    for body in (inner, f'<?xml version="1.0"?>\n{inner}', f'<ErrorResponse xmlns="urn:x">{inner}<RequestId>1</RequestId></ErrorResponse>'):
        error = refusal(403, {}, body.encode(), [secret])
        assert (error.status, error.code, error.message) == (403, "SignatureDoesNotMatch", "No: ********.")
    for body in ("<html><body>No</body></html>", "<Error/>", "<!DOCTYPE html><p>", "<Other><Code>x</Code></Other>"):
        assert refusal(502, {}, body.encode()).message == "The provider refused the request with status 502."
