using System.Buffers;
using System.Buffers.Binary;
using Google.Protobuf;

namespace Flotilla.Wire.Rpc;

/// <summary>
/// gRPC's framing: one byte that says "compressed" (always 0 here), four of length, big-endian, then the message
/// (grpc/grpc, doc/PROTOCOL-HTTP2.md, "Length-Prefixed-Message").
/// </summary>
public static class RpcFraming
{
    /// <summary>Bytes before each message.</summary>
    public const int PrefixBytes = 5;

    /// <summary>The default limit on the message of a unary or server-streaming call, in bytes.</summary>
    public const int DefaultMaxMessageBytes = 4 << 20;

    /// <summary>The default limit on a message of a duplex stream, in bytes.</summary>
    public const int DefaultMaxFrameBytes = 16 << 20;

    // Up to here a message is written in one span, which spares the serializer its checks at each buffer's end.
    private const int ContiguousBytes = 32 << 10;

    /// <summary>Writes one message with its prefix. Returns the bytes written.</summary>
    public static int Write(IBufferWriter<byte> output, IMessage message)
    {
        ArgumentNullException.ThrowIfNull(output);
        ArgumentNullException.ThrowIfNull(message);
        var size = message.CalculateSize();
        if (size <= ContiguousBytes)
        {
            var span = output.GetSpan(PrefixBytes + size);
            WritePrefix(span, size);
            message.WriteTo(span.Slice(PrefixBytes, size));
            output.Advance(PrefixBytes + size);
        }
        else
        {
            WritePrefix(output.GetSpan(PrefixBytes), size);
            output.Advance(PrefixBytes);
            message.WriteTo(output);
        }

        return PrefixBytes + size;
    }

    /// <summary>One message with its prefix, in an array of its own.</summary>
    public static byte[] ToArray(IMessage message)
    {
        ArgumentNullException.ThrowIfNull(message);
        var size = message.CalculateSize();
        var bytes = new byte[PrefixBytes + size];
        WritePrefix(bytes, size);
        message.WriteTo(bytes.AsSpan(PrefixBytes));
        return bytes;
    }

    /// <summary>Takes the next message off the front of a buffer. False: it is not complete yet, and nothing is taken.</summary>
    /// <exception cref="RpcException">It is compressed, or longer than <paramref name="maxBytes"/>: the claim alone is refused, before anything is kept for it.</exception>
    public static bool TryRead(ref ReadOnlySequence<byte> buffer, int maxBytes, out ReadOnlySequence<byte> message)
    {
        if (!TryPeek(buffer, maxBytes, out var size) || buffer.Length < PrefixBytes + size)
        {
            message = default;
            return false;
        }

        var rest = buffer.Slice(PrefixBytes);
        message = rest.Slice(0, size);
        buffer = rest.Slice(size);
        return true;
    }

    /// <summary>True if a whole message stands at the front.</summary>
    internal static bool HasMessage(in ReadOnlySequence<byte> buffer, int maxBytes) => TryPeek(buffer, maxBytes, out var size) && buffer.Length >= PrefixBytes + size;

    private static bool TryPeek(in ReadOnlySequence<byte> buffer, int maxBytes, out int size)
    {
        size = 0;
        Span<byte> copy = stackalloc byte[PrefixBytes];
        scoped var prefix = buffer.FirstSpan;
        if (prefix.Length < PrefixBytes)
        {
            if (buffer.Length < PrefixBytes)
            {
                return false;
            }

            buffer.Slice(0, PrefixBytes).CopyTo(copy);
            prefix = copy;
        }

        if (prefix[0] != 0)
        {
            throw RpcException.Protocol(RpcCode.Unimplemented, "the message is compressed; only identity is understood");
        }

        var claimed = BinaryPrimitives.ReadUInt32BigEndian(prefix[1..]);
        if (claimed > (uint)maxBytes)
        {
            throw RpcException.Protocol(RpcCode.ResourceExhausted, $"the message has {claimed} bytes; at most {maxBytes} are taken", "too_large");
        }

        size = (int)claimed;
        return true;
    }

    private static void WritePrefix(Span<byte> span, int size)
    {
        span[0] = 0;
        BinaryPrimitives.WriteUInt32BigEndian(span[1..], (uint)size);
    }
}
