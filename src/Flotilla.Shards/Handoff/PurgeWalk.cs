using Flotilla.Data;
using Flotilla.Topology;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards.Handoff;

/// <summary>
/// Removes the records of slots that are not here any more, or that were staged and will not come: one walk over all records for
/// all slots that wait when it begins, in steps that the leader makes as short as it likes. Part of the state.
/// </summary>
/// <remarks>Nothing can be added to such a slot meanwhile: it is not owned, and no move stages a slot that waits here.</remarks>
internal sealed class PurgeWalk
{
    /// <summary>Slots that wait or are being walked for.</summary>
    public SlotSet Pending { get; set; } = SlotSet.Empty;

    /// <summary>Those that the walk under way is for; null if none is.</summary>
    public SlotSet? Walking { get; set; }

    /// <summary>The number of the walk under way, or of the last one.</summary>
    public uint Walk { get; set; }

    /// <summary>The first key that it has not looked at; empty between two walks.</summary>
    public byte[] At { get; set; } = [];

    /// <summary>Takes a step, if it is the next.</summary>
    /// <returns>False if it has no effect.</returns>
    public bool Step(HandoffStep.Purge step, IRecordStore store, ExpiryIndex expiry)
    {
        var begins = Walking is null && step.Walk == Walk + 1 && step.From.IsEmpty && !Pending.IsEmpty;
        var goesOn = Walking is not null && step.Walk == Walk && step.From.Span.SequenceEqual(At);
        var isLast = step.To.IsEmpty;
        if (!(begins || goesOn) || (!isLast && step.To.Span.SequenceCompareTo(step.From.Span) <= 0))
        {
            return false;
        }

        Walk = step.Walk;
        Walking ??= Pending;
        At = step.To.ToArray();
        var gone = new Finder(Walking, isLast ? null : At);
        store.Visit(step.From.Span, ref gone);
        foreach (var (key, expiresAtMs) in gone.Found)
        {
            store.Remove(key);
            expiry.Change(key, expiresAtMs, 0);
        }

        if (isLast)
        {
            Pending = Pending.Except(Walking);
            Walking = null;
        }

        return true;
    }

    /// <summary>The next step of a walk that looks at so many records, and how many of them it removes; null if nothing waits.</summary>
    public HandoffStep.Purge? Next(IRecordView records, int looks, out int removes)
    {
        removes = 0;
        if (Pending.IsEmpty)
        {
            return null;
        }

        var from = Walking is null ? [] : At;
        var keys = new KeyAfter(Walking ?? Pending, looks + 1);
        records.Visit(from, ref keys);
        removes = keys.Hits;
        return new HandoffStep.Purge(Walking is null ? Walk + 1 : Walk, from, keys.Key);
    }

    private readonly struct Finder(SlotSet slots, byte[]? end) : IRecordVisitor
    {
        public List<(byte[] Key, long ExpiresAtMs)> Found { get; } = [];

        public bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
        {
            if (end is not null && key.SequenceCompareTo(end) >= 0)
            {
                return false;
            }

            if (slots.Contains(Slot.Of(key)))
            {
                Found.Add((key.ToArray(), expiresAtMs));
            }

            return true;
        }
    }

    // Keeps the key of the last of so many records, if there are so many, and counts those of some slots before it.
    private struct KeyAfter(SlotSet slots, int left) : IRecordVisitor
    {
        private int _left = left;

        public byte[]? Key { get; private set; }

        public int Hits { get; private set; }

        public bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
        {
            if (--_left == 0)
            {
                Key = key.ToArray();
            }
            else if (slots.Contains(Slot.Of(key)))
            {
                Hits++;
            }

            return _left > 0;
        }
    }
}
