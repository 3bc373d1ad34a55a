namespace Flotilla.Raft;

/// <content>The follower's side of replication (the paper, figure 2, AppendEntries).</content>
public sealed partial class Raft
{
    private void OnAppendEntries(NodeId from, AppendEntries request)
    {
        HearLeader(from);
        if (!IsWellFormed(request))
        {
            return;
        }

        var previous = request.PrevLogIndex;
        var entries = request.Entries;
        if (previous < Log.Base.Index)
        {
            // What lies at or below the base is committed, so the leader's log is the same there; only what follows is looked at.
            var known = (int)Math.Min(Log.Base.Index - previous, (ulong)entries.Count);
            entries = [.. entries.Skip(known)];
            previous = Log.Base.Index;
        }
        else if (Log.TermAt(previous) != request.PrevLogTerm)
        {
            Refuse(from, request);
            return;
        }

        entries = HasNoRoom ? Affordable(entries) : entries;
        StoreEntries(entries);
        var verified = previous + (ulong)entries.Count;
        PassOn(from, request, verified);
        CommitIndex = LogIndex.Max(CommitIndex, LogIndex.Min(request.LeaderCommit, verified));

        // A heartbeat is answered at once, for what is durable already: a read round must not wait for a write's sync.
        var match = entries.Count > 0 ? verified : LogIndex.Min(verified, _durableIndex);
        Send(from, new AppendEntriesReply(Term, true, match, default, default, default, request.Round, HasNoRoom), DurableThrough(match));
    }

    /// <summary>The leader of this term speaks.</summary>
    private void HearLeader(NodeId leader)
    {
        Invariant.Require(Role != Role.Leader, "a term has one leader (Election Safety)");
        if (Role != Role.Follower || Leader != leader)
        {
            BecomeFollower(Term, leader);
        }

        IsQuiet = false;
        _lastLeaderContact = _now;
        RestartElectionTimer();
    }

    /// <summary>Steps 3 and 4 of figure 2: only an entry that conflicts removes what follows it; a late or repeated message removes nothing.</summary>
    private void StoreEntries(IReadOnlyList<Entry> entries)
    {
        foreach (var entry in entries)
        {
            var term = Log.TermAt(entry.Index);
            if (term == entry.Term)
            {
                continue;
            }

            if (term is not null)
            {
                TruncateLog(entry.Index);
            }

            AppendToLog(entry);
        }
    }

    private void Refuse(NodeId from, AppendEntries request)
    {
        var conflictIndex = Log.LastIndex.Next;
        var conflictTerm = Term.Zero;
        if (Log.TermAt(request.PrevLogIndex) is { } term)
        {
            conflictTerm = term;
            conflictIndex = Log.FirstOfTermAt(request.PrevLogIndex);
        }

        Send(from, new AppendEntriesReply(Term, false, default, conflictIndex, conflictTerm, request.PrevLogIndex, request.Round, HasNoRoom), Vow);
    }

    /// <summary>Entries follow each other, terms do not fall and none is newer than the message's.</summary>
    private static bool IsWellFormed(AppendEntries request)
    {
        var (index, term) = (request.PrevLogIndex, request.PrevLogTerm);
        foreach (var entry in request.Entries)
        {
            if (entry.Index != index.Next || entry.Term < term
                || (entry.Kind == EntryKind.Configuration && Membership.ConfigurationCodec.Decode(entry.Payload.Span) is null))
            {
                return false;
            }

            (index, term) = (entry.Index, entry.Term);
        }

        return term <= request.Term;
    }
}
