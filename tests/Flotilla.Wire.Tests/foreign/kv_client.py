#!/usr/bin/python3
"""A gRPC client that shares no code with Flotilla: Debian's python3-grpcio, and protobuf written out by hand.

    kv_client.py check HOST:PORT      put, get, conditions, increment, scan, delete, monitor; checks every answer
    kv_client.py put HOST:PORT KEY VALUE
    kv_client.py get HOST:PORT KEY
    kv_client.py delete HOST:PORT KEY
    kv_client.py monitor HOST:PORT    prints the first event

Exit codes: 0 done, 1 a wrong answer or a failed call, 2 usage, 3 not found.
"""
import os
import sys

try:
    import grpc
except ImportError:
    sys.exit("kv_client.py needs Debian's package python3-grpcio, and /usr/bin/python3 to run it: apt-get install python3-grpcio")


# --- protobuf: https://protobuf.dev/programming-guides/encoding/ ---

def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def encode(fields):
    """fields: list of (number, value); bytes and str are length-delimited, int and bool are varints."""
    out = b""
    for number, value in fields:
        if isinstance(value, str):
            value = value.encode()
        if isinstance(value, bytes):
            out += varint(number << 3 | 2) + varint(len(value)) + value
        else:
            out += varint(number << 3) + varint(int(value))
    return out


def zigzag(n):
    return n << 1 ^ n >> 63


def unzigzag(n):
    return n >> 1 ^ -(n & 1)


def decode(data):
    """Returns {number: [values]}; length-delimited values as bytes, varints as int."""
    fields, at = {}, 0

    def read_varint():
        nonlocal at
        n = shift = 0
        while True:
            b = data[at]
            at += 1
            n |= (b & 0x7F) << shift
            shift += 7
            if b < 0x80:
                return n

    while at < len(data):
        tag = read_varint()
        if tag & 7 == 0:
            value = read_varint()
        elif tag & 7 == 2:
            length = read_varint()
            value = data[at:at + length]
            at += length
        else:
            raise ValueError(f"wire type {tag & 7}")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def one(fields, number, default=b""):
    return fields.get(number, [default])[-1]


# --- the service: src/Flotilla.Contracts/Protos/kv.proto ---

class Kv:
    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)

    def call(self, method, fields, timeout=10, idempotency_key=None):
        metadata = [("idempotency-key", idempotency_key)] if idempotency_key else None
        return self.channel.unary_unary(f"/flotilla.v1.KV/{method}", request_serializer=encode, response_deserializer=decode)(fields, timeout=timeout, metadata=metadata)

    def put(self, key, value=b"", ttl_ms=0, expected_version="", only_if_absent=False, increment=None, idempotency_key=None):
        fields = [(1, key), (2, value)]
        if ttl_ms:
            fields.append((3, ttl_ms))
        if expected_version:
            fields.append((4, expected_version))
        if only_if_absent:
            fields.append((5, True))
        if increment is not None:
            fields.append((6, zigzag(increment)))
        answer = self.call("Put", fields, idempotency_key=idempotency_key)
        return one(answer, 1).decode(), unzigzag(one(answer, 2, 0))

    def get(self, key):
        answer = self.call("Get", [(1, key)])
        return one(answer, 1), one(answer, 2).decode()

    def delete(self, key, expected_version=""):
        return bool(one(self.call("Delete", [(1, key)] + ([(2, expected_version)] if expected_version else [])), 1, 0))

    def scan(self, prefix, limit=0):
        answer = self.call("Scan", [(1, prefix)] + ([(3, limit)] if limit else []))
        records = [decode(r) for r in answer.get(1, [])]
        return [(one(r, 1), one(r, 2)) for r in records], answer.get(2)

    def monitor(self, interval_ms=0, timeout=10):
        stream = self.channel.unary_stream("/flotilla.v1.KV/Monitor", request_serializer=encode, response_deserializer=decode)
        return stream([(1, interval_ms)] if interval_ms else [], timeout=timeout)


def fails(code, flotilla_code, call, *args, **kwargs):
    """The call must fail so; returns its trailers."""
    try:
        got = call(*args, **kwargs)
    except grpc.RpcError as e:
        trailers = {k: v for k, v in e.trailing_metadata() or ()}
        assert e.code() == code, f"expected {code}, got {e.code()}: {e.details()}"
        assert trailers.get("flotilla-code") == flotilla_code, f"expected flotilla-code {flotilla_code}, got {trailers}"
        assert e.details(), "a failure says nothing"
        return trailers
    raise AssertionError(f"expected {code}, got the answer {got}")


def check(kv):
    code = grpc.StatusCode
    prefix = b"foreign/" + os.urandom(6).hex().encode() + b"/"
    a, b, n = prefix + b"a", prefix + b"b\x00\xff/", prefix + b"n"

    fails(code.NOT_FOUND, "not_found", kv.get, a)
    v1, _ = kv.put(a, b"one")
    assert kv.get(a) == (b"one", v1)
    v2, _ = kv.put(a, b"two", expected_version=v1)
    assert v2 != v1
    trailers = fails(code.FAILED_PRECONDITION, "version_mismatch", kv.put, a, b"three", expected_version=v1)
    assert trailers["flotilla-version"] == v2, trailers
    fails(code.FAILED_PRECONDITION, "version_mismatch", kv.put, a, b"three", only_if_absent=True)
    assert kv.get(a) == (b"two", v2)

    kv.put(b, os.urandom(200_000), only_if_absent=True)
    value = bytes(range(256)) * 400
    vb, _ = kv.put(b, value, ttl_ms=3_600_000)
    assert kv.get(b) == (value, vb)
    kv.put(prefix + b"empty", b"")
    assert kv.get(prefix + b"empty")[0] == b""

    assert kv.put(n, increment=5)[1] == 5
    name = '"id ' + os.urandom(9).hex() + '"'
    first = kv.put(n, increment=-12, idempotency_key=name)
    assert first[1] == -7
    assert kv.put(n, increment=-12, idempotency_key=name) == first
    fails(code.INVALID_ARGUMENT, "bad_request", kv.put, n, increment=-13, idempotency_key=name)
    assert kv.get(n)[0] == b"-7"
    fails(code.INVALID_ARGUMENT, "bad_request", kv.put, a, increment=1)

    records, more = kv.scan(prefix)
    assert [k for k, _ in records] == sorted([a, b, prefix + b"empty", n]), records
    assert more is None, more
    records, more = kv.scan(prefix, limit=2)
    assert len(records) == 2 and more is not None, (records, more)

    fails(code.INVALID_ARGUMENT, "bad_request", kv.get, b"")
    fails(code.INVALID_ARGUMENT, "too_large", kv.get, b"k" * 5000)
    fails(code.INVALID_ARGUMENT, "too_large", kv.put, a, bytes((1 << 20) + 1))
    fails(code.INVALID_ARGUMENT, "bad_request", kv.put, a, b"x", expected_version="what")

    fails(code.FAILED_PRECONDITION, "version_mismatch", kv.delete, a, expected_version=v1)
    assert kv.delete(a) is True
    assert kv.delete(a) is False
    for key in (b, n, prefix + b"empty"):
        assert kv.delete(key) is True
    fails(code.NOT_FOUND, "not_found", kv.get, a)

    try:
        kv.call("NoSuchMethod", [])
        raise AssertionError("a method that is not there answered")
    except grpc.RpcError as e:
        assert e.code() == code.UNIMPLEMENTED, e

    stream = kv.monitor(interval_ms=100)
    for _ in range(2):
        event = next(stream)
        assert one(event, 1) and event.get(4) and event.get(5), event
    stream.cancel()
    print("ok")


def main(argv):
    if len(argv) < 3 or argv[1] not in ("check", "put", "get", "delete", "monitor"):
        print(__doc__, file=sys.stderr)
        return 2
    kv, args = Kv(argv[2]), [os.fsencode(a) for a in argv[3:]]
    try:
        if argv[1] == "check":
            check(kv)
        elif argv[1] == "put":
            print(kv.put(args[0], args[1])[0])
        elif argv[1] == "get":
            sys.stdout.buffer.write(kv.get(args[0])[0] + b"\n")
        elif argv[1] == "delete":
            print("deleted" if kv.delete(args[0]) else "not found")
        else:
            event = next(kv.monitor())
            print(f"node {one(event, 1).decode()}")
            for shard in map(decode, event.get(5, [])):
                print(f"shard {one(shard, 1, 0)} leader {one(shard, 4).decode() or '-'} term {one(shard, 5, 0)}")
    except grpc.RpcError as e:
        print(f"{e.code().name}: {e.details()} {dict(e.trailing_metadata() or ())}", file=sys.stderr)
        return 3 if e.code() == grpc.StatusCode.NOT_FOUND else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
