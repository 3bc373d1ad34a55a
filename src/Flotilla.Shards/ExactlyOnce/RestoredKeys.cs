using Flotilla.Shards.Handoff;
using Flotilla.Topology;

namespace Flotilla.Shards.ExactlyOnce;

/// <summary>An idempotency key out of an image, on its way into another cluster.</summary>
/// <param name="Slot">The slot that it belongs to, in every cluster.</param>
/// <param name="DueMs">When its life is over, in milliseconds since the Unix epoch.</param>
/// <param name="Encoded">What is known of it. Several of one slot, one behind the other, go into one <see cref="Command.LearnKeys"/>.</param>
public readonly record struct RestoredKey(Slot Slot, long DueMs, ReadOnlyMemory<byte> Encoded);

/// <summary>
/// Idempotency keys that a backup brings into a cluster: so that a write which was executed before the backup, and is sent again to the
/// restored cluster, is answered with its first result and not executed again.
/// </summary>
/// <remarks>
/// A key is a fact, as in a handoff: it is only ever added, and never refused for want of room. It goes to the owner of its slot by way of a
/// command to any record of the slot, which that command does not touch; keys name their slot, and one that names another is refused.
/// Its end was reckoned from the log time of the cluster that it comes from. Both clusters' log times follow clocks of the same epoch,
/// so what a restore brings late, or under a slow clock, lives up to that much longer, and never shorter than it was to.
/// </remarks>
public static class RestoredKeys
{
    /// <summary>One command brings at most so many, so that no entry takes long to apply.</summary>
    public const int MaxPerCommand = 512;

    /// <summary>None is kept for longer, in milliseconds of log time: a week. The same for ever and on all nodes.</summary>
    public const long MaxLifeMs = 7L * 24 * 3_600_000;

    private static readonly ushort[] KeysBySlot = MakeKeys();

    /// <summary>A key of two bytes that lies in a slot, to be named by a command about the slot.</summary>
    public static byte[] KeyIn(Slot slot) => Bytes(KeysBySlot[slot.Value]);

    /// <summary>A key on its way.</summary>
    internal static RestoredKey Of(in KeyRecord key)
    {
        var to = new EncodedWriter(128);
        Chunk.Key(to, lane: 1, in key);
        return new RestoredKey(key.Slot, key.DueMs, to.Written.ToArray());
    }

    /// <summary>What is wrong with a command that brings keys; null if nothing is.</summary>
    internal static string? Fault(in Command command)
    {
        try
        {
            return Read(in command).Count == 0 ? "It brings no idempotency keys." : null;
        }
        catch (MalformedPayloadException malformed)
        {
            return malformed.Message;
        }
    }

    /// <summary>Adds the keys of a command whose life is not over.</summary>
    internal static void Learn(IdempotencyTable table, in Command command, long logTimeMs)
    {
        foreach (var item in Read(in command))
        {
            var leftMs = Math.Min(item.KeyRecord.DueMs - logTimeMs, MaxLifeMs);
            if (leftMs > 0)
            {
                table.Learn(KeyLane.For(leftMs), item.KeyRecord with { DueMs = logTimeMs + leftMs });
            }
        }
    }

    private static List<ChunkItem> Read(in Command command)
    {
        var items = Chunk.ReadKeys(command.Value, MaxPerCommand);
        var slot = Slot.Of(command.Key.Span);
        return items.TrueForAll(item => item.KeyRecord.Slot == slot)
            ? items
            : throw new MalformedPayloadException($"idempotency keys of another slot than {slot} come with them", 0);
    }

    private static ushort[] MakeKeys()
    {
        // The checksum takes each of its values for exactly one key of two bytes, so every slot has four.
        var keys = new ushort[Slot.Count];
        for (var key = ushort.MaxValue; key > 0; key--)
        {
            keys[Slot.Of(Bytes(key)).Value] = key;
        }

        return keys;
    }

    private static byte[] Bytes(ushort key) => [(byte)(key >> 8), (byte)key];
}
