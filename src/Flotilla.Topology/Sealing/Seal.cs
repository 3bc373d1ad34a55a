using System.Buffers.Binary;

namespace Flotilla.Topology.Sealing;

/// <summary>
/// The envelope of everything that gossip sends and keeps: kind, format, length of the body (varint), the body, and the CRC32C
/// (little-endian) of all before it. What one flipped bit anywhere would do is thus known: it is refused (hazard 53; in July
/// 2008 one flipped bit in unchecksummed gossip stopped Amazon S3 for eight hours).
/// </summary>
internal static class Seal
{
    /// <summary>The only format so far. A reader refuses others, and skips what it does not know behind the fields of this one.</summary>
    public const byte Format = 1;

    /// <summary>Bytes of the shortest thing sealed.</summary>
    public const int MinLength = 3 + ChecksumBytes;

    private const int ChecksumBytes = sizeof(uint);

    /// <summary>Bytes that a body of this length takes.</summary>
    public static int LengthOf(int body) => 2 + SealWriter.VarintLength((uint)body) + body + ChecksumBytes;

    /// <summary>Seals a body.</summary>
    public static byte[] Close(byte kind, ReadOnlySpan<byte> body)
    {
        var bytes = new byte[LengthOf(body.Length)];
        bytes[0] = kind;
        bytes[1] = Format;
        var at = 2 + SealWriter.PutVarint(bytes.AsSpan(2), (uint)body.Length);
        body.CopyTo(bytes.AsSpan(at));
        at += body.Length;
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(at), Crc32C.Compute(0, bytes.AsSpan(0, at)));
        return bytes;
    }

    /// <summary>Opens what was sealed as one of these kinds. False with the reason if it was not, or not like this.</summary>
    /// <param name="bytes">Exactly what <see cref="Close"/> gave.</param>
    /// <param name="kind">What it is.</param>
    /// <param name="body">A part of <paramref name="bytes"/>.</param>
    /// <param name="problem">Why not.</param>
    public static bool TryOpen(ReadOnlySpan<byte> bytes, out byte kind, out ReadOnlySpan<byte> body, out string? problem)
    {
        kind = 0;
        body = default;
        if (bytes.Length < MinLength)
        {
            problem = "it is too short";
            return false;
        }

        // The checksum first: nothing that it does not vouch for is believed, not even the format.
        if (Crc32C.Compute(0, bytes[..^ChecksumBytes]) != BinaryPrimitives.ReadUInt32LittleEndian(bytes[^ChecksumBytes..]))
        {
            problem = "its checksum is wrong";
            return false;
        }

        if (bytes[1] != Format)
        {
            problem = $"its format is {bytes[1]}, and this release reads {Format}";
            return false;
        }

        var reader = new SealReader(bytes[2..^ChecksumBytes]);
        var length = (int)reader.Varint(int.MaxValue);
        if (reader.Problem is not null || length != reader.Remaining)
        {
            problem = "its length is wrong";
            return false;
        }

        kind = bytes[0];
        body = reader.Take(length);
        problem = null;
        return true;
    }
}
