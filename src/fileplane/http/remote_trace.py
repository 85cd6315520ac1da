"""What an answer says of its way through the gateway, in Portkey's headers and one of our own."""

from __future__ import annotations

import re
from typing import Final

from fileplane.errors import FileplaneError, UpstreamError
from fileplane.http.call import Call

_TRACE_ID: Final = re.compile(r"[\x21-\x7e]{1,256}")


def tell(call: Call) -> None:
    """Adds the headers to whatever the answer turns out to be, once; nothing for an answer of the native store."""
    state = call.request.scope["state"]
    if call.route.remote is None or not call.goes_to_provider or state.get("route_told"):
        return
    state["route_told"] = True
    trace = call.route.remote.trace
    sent = call.request.headers.get("x-portkey-trace-id", "")
    said = {
        "x-portkey-last-used-option-index": trace.path,
        "x-portkey-retry-attempt-count": str(trace.repetitions),
        "x-portkey-trace-id": sent if _TRACE_ID.fullmatch(sent) else state["request_id"],
        "x-portkey-provider": trace.provider,
    }
    if trace.heard is not None and trace.heard.request_id is not None:
        state["provider_request_id"] = said["x-fileplane-provider-request-id"] = trace.heard.request_id
    state["answer_headers"] += [(name.encode(), value.encode("latin-1", "replace")) for name, value in said.items()]


def name_provider(call: Call, error: FileplaneError) -> None:
    """Lets the message of a provider's failure begin with its name, once: in front of other servers like this one, it may do so already."""
    if isinstance(error, UpstreamError) and call.route.remote is not None and (name := call.route.remote.trace.provider):
        prefix = f"{name}: "
        error.message = error.message if error.message.startswith(prefix) else prefix + error.message
