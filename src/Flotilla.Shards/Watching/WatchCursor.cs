using System.Buffers.Binary;
using System.Buffers.Text;
using System.Runtime.InteropServices;
using Flotilla.Raft;
using Flotilla.Topology;

namespace Flotilla.Shards.Watching;

/// <summary>
/// How far a watch over all shards has come, as a text that is opaque to clients: good at any node, for any keys, and as long as
/// what follows it is kept.
/// </summary>
/// <remarks>
/// <code>
/// bytes = format:u8 (1)  cluster:u64 LE  shards:varint  shards × (shard:varint  through:varint  next:varint)  crc32:u32 LE of all before
/// </code>
/// as base64url without padding. Shards in order; one position has one text. A watch resumes each shard that is not named from its first entry: it
/// was born since.
/// </remarks>
public static class WatchCursor
{
    /// <summary>No cursor is longer, in characters: a thousand shards with long logs.</summary>
    public const int MaxChars = 32 << 10;

    private const byte Format = 1;
    private const int MaxShards = 1 << 20;

    /// <summary>The text of positions, which must be in the order of their shards.</summary>
    public static string Encode(ulong cluster, IReadOnlyList<(ShardId Shard, EventPosition At)> positions)
    {
        ArgumentNullException.ThrowIfNull(positions);
        var size = 1 + sizeof(ulong) + Encoded.VarintSize((uint)positions.Count) + sizeof(uint);
        foreach (var (shard, position) in positions)
        {
            size += Encoded.VarintSize((uint)shard.Value) + Encoded.VarintSize(position.Through.Value) + Encoded.VarintSize(position.Next);
        }

        Span<byte> bytes = size <= 1024 ? stackalloc byte[size] : new byte[size];
        bytes[0] = Format;
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[1..], cluster);
        var at = Encoded.WriteVarint(bytes, 1 + sizeof(ulong), (uint)positions.Count);
        foreach (var (shard, position) in positions)
        {
            at = Encoded.WriteVarint(bytes, at, (uint)shard.Value);
            at = Encoded.WriteVarint(bytes, at, position.Through.Value);
            at = Encoded.WriteVarint(bytes, at, position.Next);
        }

        BinaryPrimitives.WriteUInt32LittleEndian(bytes[at..], Crc32.Compute(bytes[..at]));
        return Base64Url.EncodeToString(bytes);
    }

    /// <summary>Reads a cursor. False for anything that <see cref="Encode"/> did not write.</summary>
    public static bool TryDecode(ReadOnlySpan<char> text, out ulong cluster, out IReadOnlyList<(ShardId Shard, EventPosition At)> positions)
    {
        (cluster, positions) = (0, []);
        if (text.Length > MaxChars || !Base64Url.IsValid(text) || text.Contains('='))
        {
            return false;
        }

        var bytes = Base64Url.DecodeFromChars(text);

        // The last characters may carry bits that no byte has: only one text stands for a cursor.
        if (bytes.Length < 1 + sizeof(ulong) + 1 + sizeof(uint)
            || bytes[0] != Format
            || BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(bytes.Length - sizeof(uint))) != Crc32.Compute(bytes.AsSpan(0, bytes.Length - sizeof(uint)))
            || !text.SequenceEqual(Base64Url.EncodeToString(bytes)))
        {
            return false;
        }

        cluster = BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(1));
        try
        {
            positions = Read(bytes.AsMemory(1 + sizeof(ulong), bytes.Length - 1 - sizeof(ulong) - sizeof(uint)));
            return true;
        }
        catch (NotACursorException)
        {
            return false;
        }
    }

    private static List<(ShardId Shard, EventPosition At)> Read(ReadOnlyMemory<byte> bytes)
    {
        var reader = new EncodedReader<NotACursorException>(bytes);
        var count = reader.Int32(0, Math.Min(MaxShards, reader.Remaining));
        var positions = new List<(ShardId Shard, EventPosition At)>(count);
        for (var i = 0; i < count; i++)
        {
            var shard = new ShardId(reader.Int32(1, MaxShards));
            reader.Require(i == 0 || CollectionsMarshal.AsSpan(positions)[^1].Shard.CompareTo(shard) < 0, "the shards are out of order");
            var through = new LogIndex(reader.Varint(ulong.MaxValue - 1));
            positions.Add((shard, new EventPosition(through, (uint)reader.Varint(uint.MaxValue))));
        }

        reader.Require(reader.Remaining == 0, "there is more than a cursor");
        return positions;
    }

    // Never leaves this file; rare, since the checksum has been checked.
    private sealed class NotACursorException(string message) : Exception(message), IMalformed
    {
        public static Exception At(string what, int offset) => new NotACursorException($"{what} at {offset}");
    }
}
