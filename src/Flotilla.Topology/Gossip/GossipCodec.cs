using System.Collections.Immutable;
using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Sealing;

namespace Flotilla.Topology.Gossip;

/// <summary>Messages as sealed bytes, and back from any bytes (docs/topology.md has the layout). Pure and thread-safe.</summary>
public static class GossipCodec
{
    /// <summary>The longest message, in bytes: one with a single item may exceed what messages are cut to, others don't.</summary>
    public const int MaxBytes = 1 << 20;

    private const byte DigestKind = (byte)'D';
    private const byte DifferenceKind = (byte)'F';
    private const byte NewsKind = (byte)'W';

    // The shortest sealed item with its length before it.
    private const int MinItemBytes = Seal.MinLength + 1;

    /// <summary>Seals a message.</summary>
    public static byte[] Encode(GossipMessage message)
    {
        ArgumentNullException.ThrowIfNull(message);
        var to = new SealWriter();
        to.UInt64(message.ClusterId);
        byte kind;
        switch (message)
        {
            case GossipMessage.Digest(_, var table):
                kind = DigestKind;
                to.UInt64(table.Salt);
                to.Byte((byte)table.Bits);
                foreach (var hash in table.Hashes)
                {
                    to.UInt16(hash);
                }

                break;
            case GossipMessage.Difference(_, var bits, var buckets, var items):
                kind = DifferenceKind;
                to.Byte((byte)bits);
                to.Varint((uint)buckets.Length);
                foreach (var bucket in buckets)
                {
                    to.UInt16(bucket);
                }

                WriteItems(to, items);
                break;
            case GossipMessage.News(_, var items):
                kind = NewsKind;
                WriteItems(to, items);
                break;
            default:
                throw new ArgumentException($"There is no such message: {message.GetType()}.", nameof(message));
        }

        return Seal.Close(kind, to.Written);
    }

    /// <summary>How many bytes <see cref="Encode"/> gives.</summary>
    public static int LengthOf(GossipMessage message) => message switch
    {
        GossipMessage.Digest(_, var table) => Seal.LengthOf(17 + (2 * table.Hashes.Length)),
        GossipMessage.Difference(_, _, var buckets, var items) =>
            Seal.LengthOf(9 + SealWriter.VarintLength((uint)buckets.Length) + (2 * buckets.Length) + SealWriter.VarintLength((uint)items.Length) + items.Sum(LengthOf)),
        GossipMessage.News(_, var items) => Seal.LengthOf(8 + SealWriter.VarintLength((uint)items.Length) + items.Sum(LengthOf)),
        _ => throw new ArgumentException($"There is no such message: {message?.GetType()}.", nameof(message)),
    };

    /// <summary>Bytes of an item in a message.</summary>
    internal static int LengthOf(GossipItem item) => SealWriter.VarintLength((uint)item.Bytes.Length) + item.Bytes.Length;

    /// <summary>
    /// Opens a message. An item in it that is refused is left out, with <paramref name="problem"/> as the reason, though the
    /// rest is read: it may be of a later release, and must not stop the others.
    /// </summary>
    /// <param name="bytes">Any bytes.</param>
    /// <param name="message">What it says; null if all of it was refused.</param>
    /// <param name="problem">What is wrong with it, or with the first item that was left out; null if nothing.</param>
    /// <returns>Whether there is a message.</returns>
    public static bool TryDecode(ReadOnlySpan<byte> bytes, out GossipMessage? message, out string? problem)
    {
        message = null;
        if (bytes.Length > MaxBytes)
        {
            problem = $"it has more than {MaxBytes} bytes";
            return false;
        }

        if (!Seal.TryOpen(bytes, out var kind, out var body, out problem))
        {
            return false;
        }

        var from = new SealReader(body);
        var cluster = from.UInt64();
        string? leftOut = null;
        switch (kind)
        {
            case DigestKind:
                var salt = from.UInt64();
                var hashes = new ushort[1 << ReadBits(ref from)];
                for (var i = 0; i < hashes.Length; i++)
                {
                    hashes[i] = from.UInt16();
                }

                message = new GossipMessage.Digest(cluster, new TableDigest(salt, System.Numerics.BitOperations.Log2((uint)hashes.Length), ImmutableArray.Create(hashes)));
                break;
            case DifferenceKind:
                var bits = ReadBits(ref from);
                var buckets = new ushort[from.Count(1 << bits, minBytes: 2)];
                for (var i = 0; i < buckets.Length; i++)
                {
                    buckets[i] = from.UInt16();
                    from.Require(buckets[i] < 1 << bits && (i == 0 || buckets[i] > buckets[i - 1]), "its buckets are out of order");
                }

                message = new GossipMessage.Difference(cluster, bits, ImmutableArray.Create(buckets), ReadItems(ref from, out leftOut));
                break;
            case NewsKind:
                message = new GossipMessage.News(cluster, ReadItems(ref from, out leftOut));
                break;
            default:
                problem = "it is no message of gossip";
                return false;
        }

        if (from.Problem is not null)
        {
            message = null;
        }

        problem = from.Problem ?? leftOut;
        return message is not null;
    }

    /// <summary>A count and so many items.</summary>
    internal static void WriteItems(SealWriter to, IReadOnlyCollection<GossipItem> items)
    {
        to.Varint((uint)items.Count);
        foreach (var item in items)
        {
            to.Bytes(item.Bytes.Span);
        }
    }

    /// <summary>What <see cref="WriteItems"/> wrote, without the items that are refused.</summary>
    internal static ImmutableArray<GossipItem> ReadItems(ref SealReader from, out string? leftOut)
    {
        leftOut = null;
        var count = from.Count(int.MaxValue, MinItemBytes);
        var items = ImmutableArray.CreateBuilder<GossipItem>(Math.Min(count, 1024));
        for (var i = 0; i < count && from.Problem is null; i++)
        {
            var bytes = from.Bytes(DescriptorCodec.MaxBytes);
            string? problem = "it ends too early";
            GossipItem? item = bytes.IsEmpty ? null : bytes[0] == NodeItem.Kind ? NodeItem.TryOpen(bytes, out problem) : ShardItem.TryOpen(bytes, out problem);
            if (item is null)
            {
                leftOut ??= "an item was left out: " + problem;
                continue;
            }

            items.Add(item);
        }

        return items.ToImmutable();
    }

    private static int ReadBits(ref SealReader from)
    {
        var bits = from.Byte();
        return from.Require(bits is >= TableDigest.MinBits and <= TableDigest.MaxBits, "it has no such number of buckets") ? bits : TableDigest.MinBits;
    }
}
