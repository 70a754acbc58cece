#!/usr/bin/python3
"""Sends one text through Postrider and follows it until it is final.

Needs python3-grpcio and python3-protobuf, and the stubs (once, from the repository's root):

    out=client/examples/python/stubs; mkdir -p $out
    protoc -I proto -I /usr/include --python_out=$out --grpc_python_out=$out \
        --plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin \
        postrider/v1/types.proto postrider/v1/message_service.proto \
        google/rpc/status.proto google/rpc/error_details.proto

Then:

    export POSTRIDER_TOKEN=$(cat STATE_DIR/default.token)
    /usr/bin/python3 client/examples/python/send_and_follow.py +15551234567 +15550001111 'Hello'

It ends with 0 when the text was delivered, 1 when it was not, 3 when the gateway refused it.
"""

import os
import pathlib
import random
import sys
import time
import uuid

import grpc

STUBS = os.environ.get("POSTRIDER_STUBS", pathlib.Path(__file__).parent / "stubs")
sys.path.insert(0, str(STUBS))

from google.rpc import error_details_pb2, status_pb2  # noqa: E402
from postrider.v1 import message_service_pb2 as pb  # noqa: E402
from postrider.v1 import message_service_pb2_grpc, types_pb2  # noqa: E402

TRIES = 6


def details_of(error):
    """The google.rpc details of an error: a list of ErrorInfo, BadRequest, RetryInfo ..."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            rich = status_pb2.Status.FromString(value)
            break
    else:
        return []
    found = []
    for packed in rich.details:
        name = packed.type_url.rsplit(".", 1)[-1]
        kind = getattr(error_details_pb2, name, None)
        if kind is not None:
            detail = kind()
            packed.Unpack(detail)
            found.append(detail)
    return found


def describe(error):
    """Lines for people: the reason, and every field that is wrong."""
    lines = [f"{error.code().name}: {error.details()}"]
    for detail in details_of(error):
        if isinstance(detail, error_details_pb2.ErrorInfo):
            lines.append(f"  reason: {detail.reason} ({detail.domain})")
            lines += [f"  {key}: {value}" for key, value in sorted(detail.metadata.items())]
        elif isinstance(detail, error_details_pb2.BadRequest):
            for violation in detail.field_violations:
                lines.append(f"  field {violation.field}: {violation.description}")
        elif isinstance(detail, error_details_pb2.PreconditionFailure):
            for violation in detail.violations:
                lines.append(f"  {violation.type} {violation.subject}: {violation.description}")
    return "\n".join(lines)


def pause_before(failures, error):
    """Seconds before the next try: what the gateway asks for, plus backoff with full jitter.
    None when it asks not to try again."""
    asked = 0.0
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-retry-pushback-ms":
            if not value.isdigit():
                return None
            asked = max(asked, int(value) / 1000)
    for detail in details_of(error):
        if isinstance(detail, error_details_pb2.RetryInfo):
            asked = max(asked, detail.retry_delay.ToTimedelta().total_seconds())
    return asked + random.uniform(0, min(10.0, 0.2 * 2**failures))


def may_repeat(error):
    return error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def send(service, metadata, request):
    """Sends `request`, repeating it while the gateway is away. The request_id is made before the
    first try and kept: that is what makes a repeat safe."""
    request.request_id = request.request_id or str(uuid.uuid4())
    for failures in range(TRIES):
        try:
            return service.SendMessage(request, metadata=metadata, timeout=10)
        except grpc.RpcError as error:
            pause = pause_before(failures, error)
            if not may_repeat(error) or pause is None or failures == TRIES - 1:
                raise
            time.sleep(pause)
    raise AssertionError("unreachable")


def was_cut(error):
    """True for STREAM_TOO_SLOW, of a stream that has begun: it overtakes the elements that are
    stuck, and so it is the one error of the gateway that comes without details."""
    return error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and not details_of(error)


def follow(service, metadata, message_id):
    """Yields every change until the message is final. After a lost connection it goes on with the
    last resume token, and drops what it had seen by revision."""
    request = pb.StreamStatusRequest(
        message_ids=[message_id], until_final=True, include_snapshot=True
    )
    seen = failures = 0
    while True:
        began = False
        try:
            for element in service.StreamStatus(request, metadata=metadata):
                began = True
                failures = 0
                kind = element.WhichOneof("element")
                # Covers this element and all before it, also inside of the snapshot.
                request.resume_token = element.resume_token
                request.include_snapshot = False
                if kind == "checkpoint":
                    continue
                change = element.change if kind == "change" else element.snapshot.status
                if change.revision > seen:
                    seen = change.revision
                    yield change
            return
        except grpc.RpcError as error:
            lost = error.code() == grpc.StatusCode.UNAVAILABLE or (began and was_cut(error))
            failures += 1
            if not lost or failures == TRIES:
                raise
            time.sleep(pause_before(failures, error) or 1.0)


def main():
    if len(sys.argv) != 4:
        print(f"usage: {sys.argv[0]} RECIPIENT SENDER TEXT", file=sys.stderr)
        return 2
    address = os.environ.get("POSTRIDER_ADDRESS", "127.0.0.1:7070")
    metadata = (("authorization", f"Bearer {os.environ.get('POSTRIDER_TOKEN', '')}"),)
    request = pb.SendMessageRequest(recipient=sys.argv[1], sender=sys.argv[2], text=sys.argv[3])
    with grpc.insecure_channel(address) as channel:
        service = message_service_pb2_grpc.MessageServiceStub(channel)
        try:
            response = send(service, metadata, request)
            message_id = response.message.message_id
            print(f"accepted {message_id} ({response.segment_count} segment(s))", flush=True)
            state = types_pb2.MESSAGE_STATE_UNSPECIFIED
            for change in follow(service, metadata, message_id):
                state = change.state
                name = types_pb2.MessageState.Name(state).removeprefix("MESSAGE_STATE_")
                at = change.changed_at.ToJsonString()
                print(f"{at} {change.revision} {name}{' final' if change.final else ''}", flush=True)
        except grpc.RpcError as error:
            print(describe(error), file=sys.stderr)
            return 3
    return 0 if state == types_pb2.MESSAGE_STATE_DELIVERED else 1


if __name__ == "__main__":
    sys.exit(main())
