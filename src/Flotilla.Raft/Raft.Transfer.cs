using Flotilla.Raft.Progress;

namespace Flotilla.Raft;

/// <content>
/// Leadership transfer (dissertation, 3.10): proposals stop, the target is brought up to the end of the log, and then told
/// to start an election at once. If it does not lead in an election timeout, the next one is asked if any voter will do;
/// after the last one this leader goes on; unless its own disk stalls (hazard 5): then it hands over by itself, and steps
/// down if that fails, since its heartbeats would keep the others from electing somebody whose disk works.
/// </content>
public sealed partial class Raft
{
    /// <summary>How many election timeouts longer a reluctant replica waits before it asks for votes.</summary>
    private const int ReluctanceTimeouts = 4;

    private LeadershipTransfer? _transfer;

    private sealed record LeadershipTransfer(NodeId Target, Instant Deadline, bool Anyone, bool BecauseDiskStalls, IReadOnlyList<NodeId> Tried)
    {
        public bool Told { get; set; }
    }

    /// <summary>
    /// This replica should rather not lead (its disk is nearly full, say): it declines to take over from a leader, and asks
    /// for votes some election timeouts later than others would, so that it leads only where nobody else can. It votes and
    /// acknowledges as ever. Takes effect with the next election timer.
    /// </summary>
    public bool Reluctant { get; set; }

    private int ReluctanceMs => Reluctant ? ReluctanceTimeouts * _options.ElectionTimeoutMs : 0;

    /// <summary>
    /// Hands leadership to <paramref name="target"/>; to none: to the voter with the longest log among those that answer, and
    /// if that one does not lead in an election timeout, to the next. False if this replica does not lead, or already hands
    /// over, or the target is no other voter, or nobody answers.
    /// </summary>
    public bool TransferLeadership(NodeId target, Instant now)
    {
        _now = now;
        if (Role != Role.Leader || _transfer is not null || (target.IsNone ? MostUpToDate([]) : MayLead(target) ? FollowerOf(target) : null) is not { } follower)
        {
            return false;
        }

        BeginTransfer(follower, anyone: target.IsNone, becauseDiskStalls: false, []);
        return true;
    }

    private void BeginTransfer(Follower target, bool anyone, bool becauseDiskStalls, IReadOnlyList<NodeId> tried)
    {
        Wake();
        _transfer = new LeadershipTransfer(target.Id, _now.PlusMs(_options.ElectionTimeoutMs), anyone, becauseDiskStalls, tried);
        MaybeFinishTransfer(target);
    }

    /// <summary>The target holds the whole log: it may start its election.</summary>
    private void MaybeFinishTransfer(Follower follower)
    {
        if (_transfer is { Told: false } transfer && transfer.Target == follower.Id && follower.Match == Log.LastIndex)
        {
            transfer.Told = true;
            Send(follower.Id, new TimeoutNow(Term), default);
        }
    }

    /// <summary>False if this replica stepped down.</summary>
    private bool TickTransfer()
    {
        if (_transfer is { } transfer && _now >= transfer.Deadline)
        {
            _transfer = null;
            IReadOnlyList<NodeId> tried = [.. transfer.Tried, transfer.Target];
            if (transfer.Anyone && (!transfer.BecauseDiskStalls || DiskIsStalled) && MostUpToDate(tried) is { } next)
            {
                BeginTransfer(next, anyone: true, transfer.BecauseDiskStalls, tried);
            }
            else if (transfer.BecauseDiskStalls && DiskIsStalled)
            {
                BecomeFollower(Term, default);
                return false;
            }
        }

        if (_transfer is null && DiskIsStalled && MostUpToDate([]) is { } heir)
        {
            BeginTransfer(heir, anyone: true, becauseDiskStalls: true, []);
        }

        return true;
    }

    /// <summary>The follower with the longest log among those that answer and were not tried; of a quiet group, or one that has just woken, all count as answering.</summary>
    private Follower? MostUpToDate(IReadOnlyList<NodeId> tried)
    {
        Follower? best = null;
        foreach (var follower in _followers)
        {
            if ((_now.MsSince(follower.LastHeard) < _options.ElectionTimeoutMs || IsQuiet || _now.MsSince(_wokeAt) < _options.ElectionTimeoutMs) && !tried.Contains(follower.Id) && MayLead(follower.Id) && (best is null || follower.Match > best.Match))
            {
                best = follower;
            }
        }

        return best;
    }

    private bool MayLead(NodeId id) => Configuration.Find(id) is { Suffrage: Membership.Suffrage.Voter or Membership.Suffrage.Incoming };

    private void OnTimeoutNow()
    {
        if (Role == Role.Follower && MayCampaign && !DiskIsStalled && !Reluctant)
        {
            Campaign(transfer: true);
        }
    }
}
