using Flotilla.Raft;
using Flotilla.Shards.ExactlyOnce;
using Flotilla.Topology;

namespace Flotilla.Shards.Handoff;

/// <summary>A session as it travels with slots: who opened it, and the results of those slots' writes at or above its mark.</summary>
/// <param name="Lineage">Which of the move's lineages it answers for: the place in <see cref="HandoffStep.Open.Lineages"/>.</param>
/// <param name="Origin">The group that opened it.</param>
/// <param name="Id">Its id there.</param>
/// <param name="Terms">What it was opened under.</param>
/// <param name="LastUsedMs">The source's log time of its last use.</param>
/// <param name="Mark">The client has the answers to all sequences below.</param>
internal sealed record CopiedSession(int Lineage, GroupId Origin, SessionId Id, SessionTerms Terms, long LastUsedMs, ulong Mark)
{
    /// <summary>Of writes to the lineage's slots, in the order of their sequences. Added to while a chunk is staged, and only then.</summary>
    public List<RecordedResult> Results { get; } = [];

    /// <summary>The digests of it and of its results, added up.</summary>
    public UInt128 Digest()
    {
        var sum = ItemDigest.OfSession(this);
        foreach (var result in Results)
        {
            sum += ItemDigest.OfResult(this, in result);
        }

        return sum;
    }

    /// <summary>
    /// The sessions that answer for slots of one lineage in a table, as they are now, in order: the copies that came with the
    /// slots, and the shard's own that were opened after the slots had last left it.
    /// </summary>
    public static IEnumerable<CopiedSession> Of(SessionTable table, int lineage, LogIndex leftAt, GroupId own, SlotSet slots, int number, long logTimeMs)
    {
        var found = new List<CopiedSession>();
        Add(table.Of(0), found, s => s.Key.Id.Index > leftAt, own, slots, number, logTimeMs);
        if (lineage != 0)
        {
            Add(table.Of(lineage), found, _ => true, own, slots, number, logTimeMs);
        }

        return found;
    }

    private static void Add(ReadOnlySpan<Session> sessions, List<CopiedSession> to, Func<Session, bool> answers, GroupId own, SlotSet slots, int number, long logTimeMs)
    {
        foreach (var session in sessions)
        {
            if (session.DueMs <= logTimeMs || !answers(session))
            {
                continue;
            }

            var origin = session.Key.Lineage == 0 ? own : session.Key.Origin;
            var copy = new CopiedSession(number, origin, session.Key.Id, session.Terms, session.LastUsedMs, session.Mark);
            foreach (ref readonly var result in session.Results)
            {
                if (slots.Contains(result.Slot))
                {
                    copy.Results.Add(result);
                }
            }

            to.Add(copy);
        }
    }
}
