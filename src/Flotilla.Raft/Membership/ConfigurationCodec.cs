using System.Buffers.Binary;
using System.Text;

namespace Flotilla.Raft.Membership;

/// <summary>
/// A configuration as bytes: the payload of a <see cref="EntryKind.Configuration"/> entry, and a part of snapshots. On disk and
/// on the wire, so versioned and append-only.
/// </summary>
/// <remarks>
/// <code>
/// configuration = format:u8 (1)  count:u8  count × member, ordered by id   count:u8  count × removed, by age
/// removed       = incarnation:u64  id:text (not empty)
/// member        = suffrage:u8  incarnation:u64 little-endian  id:text (not empty)  address:text
/// text          = length:u8  length × u8, UTF-8
/// </code>
/// </remarks>
public static class ConfigurationCodec
{
    /// <summary>The format that <see cref="Encode"/> writes.</summary>
    public const byte Format = 1;

    /// <summary>The longest id or address, in bytes of UTF-8.</summary>
    public const int MaxTextBytes = byte.MaxValue;

    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>The bytes of a configuration.</summary>
    /// <exception cref="ArgumentException">An id or address is longer than <see cref="MaxTextBytes"/>.</exception>
    public static byte[] Encode(Configuration configuration)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        var bytes = new List<byte> { Format, (byte)configuration.Members.Count };
        foreach (var member in configuration.Members)
        {
            bytes.Add((byte)member.Suffrage);
            AddIncarnation(bytes, member.Incarnation);
            AddText(bytes, member.Id.Value);
            AddText(bytes, member.Address);
        }

        bytes.Add((byte)configuration.Removed.Count);
        foreach (var seat in configuration.Removed)
        {
            AddIncarnation(bytes, seat.Incarnation);
            AddText(bytes, seat.Id.Value);
        }

        return [.. bytes];
    }

    /// <summary>The configuration that <see cref="Encode"/> wrote; null for any other bytes.</summary>
    public static Configuration? Decode(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < 2 || bytes[0] != Format)
        {
            return null;
        }

        var members = new Member[bytes[1]];
        bytes = bytes[2..];
        for (var i = 0; i < members.Length; i++)
        {
            if (bytes.IsEmpty || bytes[0] > (byte)Suffrage.Outgoing)
            {
                return null;
            }

            var suffrage = (Suffrage)bytes[0];
            bytes = bytes[1..];
            if (!TryTakeIncarnation(ref bytes, out var incarnation) || !TryTakeText(ref bytes, out var id) || id.Length == 0
                || !TryTakeText(ref bytes, out var address) || (i > 0 && new NodeId(id).CompareTo(members[i - 1].Id) <= 0))
            {
                return null;
            }

            members[i] = new Member(new NodeId(id), suffrage, incarnation, address);
        }

        if (bytes.IsEmpty || bytes[0] > Configuration.MaxRemoved)
        {
            return null;
        }

        var removed = new RemovedSeat[bytes[0]];
        bytes = bytes[1..];
        for (var i = 0; i < removed.Length; i++)
        {
            if (!TryTakeIncarnation(ref bytes, out var incarnation) || !TryTakeText(ref bytes, out var id) || id.Length == 0)
            {
                return null;
            }

            removed[i] = new RemovedSeat(new NodeId(id), incarnation);
        }

        try
        {
            return bytes.IsEmpty ? new Configuration(members, removed) : null;
        }
        catch (ArgumentException)
        {
            return null;
        }
    }

    private static void AddIncarnation(List<byte> to, Incarnation incarnation)
    {
        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, incarnation.Value);
        to.AddRange(bytes);
    }

    private static bool TryTakeIncarnation(ref ReadOnlySpan<byte> from, out Incarnation incarnation)
    {
        incarnation = default;
        if (from.Length < sizeof(ulong))
        {
            return false;
        }

        incarnation = new Incarnation(BinaryPrimitives.ReadUInt64LittleEndian(from));
        from = from[sizeof(ulong)..];
        return true;
    }

    private static void AddText(List<byte> to, string text)
    {
        var bytes = Utf8.GetBytes(text);
        if (bytes.Length > MaxTextBytes)
        {
            throw new ArgumentException($"\"{text}\" is longer than {MaxTextBytes} bytes.", nameof(text));
        }

        to.Add((byte)bytes.Length);
        to.AddRange(bytes);
    }

    private static bool TryTakeText(ref ReadOnlySpan<byte> from, out string text)
    {
        text = "";
        if (from.IsEmpty || from.Length < 1 + from[0])
        {
            return false;
        }

        try
        {
            text = Utf8.GetString(from.Slice(1, from[0]));
        }
        catch (DecoderFallbackException)
        {
            return false;
        }

        from = from[(1 + from[0])..];
        return true;
    }
}
