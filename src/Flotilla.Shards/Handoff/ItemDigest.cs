using Flotilla.Shards.ExactlyOnce;
using Flotilla.Topology;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards.Handoff;

/// <summary>
/// Digests of what moves with a slot, idempotency keys aside, 128 bits each (<see cref="Digest128"/>). A slot's digest is the sum of
/// its records' digests, modulo 2^128: so it follows each record that comes and goes at the cost of that record, and does not
/// depend on their order. The sums of two different contents agree by chance once in 2^128. It tells loss, damage and mistakes from what was meant; the
/// function is public and the members of a cluster are trusted, so it is no defence against either end.
/// </summary>
internal static class ItemDigest
{
    /// <summary>A record.</summary>
    public static UInt128 OfRecord(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
    {
        var digest = Digest128.Begin();
        digest.Add(1);
        digest.Add(key);
        digest.Add(value);
        Add(ref digest, version);
        digest.Add((ulong)expiresAtMs);
        return digest.Finish();
    }

    /// <summary>A session without its results.</summary>
    public static UInt128 OfSession(CopiedSession session)
    {
        var digest = Digest128.Begin();
        digest.Add(3);
        Add(ref digest, session);
        digest.Add((ulong)session.Terms.IdleMs);
        digest.Add((uint)session.Terms.Window);
        digest.Add((uint)session.Terms.MaxSessions);
        digest.Add((uint)session.Terms.MaxResults);
        digest.Add((ulong)session.LastUsedMs);
        digest.Add(session.Mark);
        return digest.Finish();
    }

    /// <summary>One result of a session.</summary>
    public static UInt128 OfResult(CopiedSession session, in RecordedResult result)
    {
        var digest = Digest128.Begin();
        digest.Add(4);
        Add(ref digest, session);
        digest.Add(result.Sequence);
        digest.Add(((ulong)result.Slot.Value << 8) | (byte)result.Code);
        Add(ref digest, result.Version);
        digest.Add(result.Value);
        return digest.Finish();
    }

    /// <summary>A whole move: its slots with their epochs at the source and their digests, in order, the sessions' sum, and the log time at which they were frozen.</summary>
    public static UInt128 OfMove(SlotEpochs slots, ReadOnlySpan<UInt128> bySlot, UInt128 sessions, long logTimeMs)
    {
        var digest = Digest128.Begin();
        digest.Add(5);
        var place = 0;
        foreach (var (slot, epoch) in slots.Entries())
        {
            digest.Add(((ulong)slot.Value << 32) | epoch.Value);
            digest.Add((ulong)(bySlot[place] >> 64));
            digest.Add((ulong)bySlot[place]);
            place++;
        }

        digest.Add((ulong)(sessions >> 64));
        digest.Add((ulong)sessions);
        digest.Add((ulong)logTimeMs);
        return digest.Finish();
    }

    private static void Add(ref Digest128 digest, CopiedSession session)
    {
        digest.Add((uint)session.Lineage);
        digest.Add(session.Origin.Value);
        digest.Add(session.Id.Index.Value);
        digest.Add(session.Id.Place);
    }

    private static void Add(ref Digest128 digest, Version version)
    {
        digest.Add(((ulong)version.SlotEpoch << 32) | version.ModeEpoch);
        digest.Add(version.Counter);
        digest.Add(version.Sub);
    }
}
