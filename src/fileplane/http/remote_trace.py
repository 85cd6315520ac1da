"""What an answer says of its way through the gateway, in Portkey's headers and one of our own."""

from __future__ import annotations

import re
from typing import Final

from fileplane.errors import FileplaneError, UpstreamError
from fileplane.http.call import Call

_TRACE_ID: Final = re.compile(rb"[\x21-\x7e]{1,256}")


def tell(call: Call) -> None:
    """Adds the headers to whatever the answer turns out to be, once; nothing for an answer of the native store."""
    state = call.request.scope["state"]
    if call.route.remote is None or not call.goes_to_provider or state.get("route_told"):
        return
    state["route_told"] = True
    trace, answer_headers = call.route.remote.trace, state["answer_headers"]
    answer_headers += [
        (b"x-portkey-last-used-option-index", trace.path.encode("latin-1", "replace")),
        (b"x-portkey-retry-attempt-count", b"%d" % trace.repetitions),
        (b"x-portkey-trace-id", _trace_id(call) or state["request_id"].encode()),
        (b"x-portkey-provider", trace.provider.encode("latin-1", "replace")),
    ]
    if trace.heard is not None and trace.heard.request_id is not None:
        state["provider_request_id"] = trace.heard.request_id
        answer_headers.append((b"x-fileplane-provider-request-id", trace.heard.request_id.encode("latin-1", "replace")))


def _trace_id(call: Call) -> bytes | None:
    sent = next((value for name, value in call.request.scope["headers"] if name == b"x-portkey-trace-id"), None)
    return sent if sent is not None and _TRACE_ID.fullmatch(sent) else None


def name_provider(call: Call, error: FileplaneError) -> None:
    """Lets the message of a provider's failure begin with its name, once: in front of other servers like this one, it may do so already."""
    if isinstance(error, UpstreamError) and call.route.remote is not None and (name := call.route.remote.trace.provider):
        prefix = f"{name}: "
        error.message = error.message if error.message.startswith(prefix) else prefix + error.message
