using Flotilla.Raft.Progress;

namespace Flotilla.Raft;

/// <content>
/// Leadership transfer (dissertation, 3.10): proposals stop, the target is brought up to the end of the log, and then told
/// to start an election at once. If it does not lead in an election timeout, this leader goes on; unless its own disk
/// stalls (hazard 5): then it hands over by itself, and steps down if that fails, since its heartbeats would keep the
/// others from electing somebody whose disk works.
/// </content>
public sealed partial class Raft
{
    private LeadershipTransfer? _transfer;

    private sealed record LeadershipTransfer(NodeId Target, Instant Deadline, bool BecauseDiskStalls)
    {
        public bool Told { get; set; }
    }

    /// <summary>Hands leadership to <paramref name="target"/>. False if this replica does not lead, or already hands over, or the target is no other voter.</summary>
    public bool TransferLeadership(NodeId target, Instant now)
    {
        _now = now;
        if (FollowerOf(target) is not { } follower || _transfer is not null)
        {
            return false;
        }

        BeginTransfer(follower, becauseDiskStalls: false);
        return true;
    }

    private void BeginTransfer(Follower target, bool becauseDiskStalls)
    {
        _transfer = new LeadershipTransfer(target.Id, _now.PlusMs(_options.ElectionTimeoutMs), becauseDiskStalls);
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
            if (transfer.BecauseDiskStalls && DiskIsStalled)
            {
                BecomeFollower(Term, default);
                return false;
            }
        }

        if (_transfer is null && DiskIsStalled && MostUpToDate() is { } heir)
        {
            BeginTransfer(heir, becauseDiskStalls: true);
        }

        return true;
    }

    /// <summary>The follower with the longest log among those that answer.</summary>
    private Follower? MostUpToDate()
    {
        Follower? best = null;
        foreach (var follower in _followers)
        {
            if (_now.MsSince(follower.LastHeard) < _options.ElectionTimeoutMs && (best is null || follower.Match > best.Match))
            {
                best = follower;
            }
        }

        return best;
    }

    private void OnTimeoutNow()
    {
        if (Role == Role.Follower && !DiskIsStalled)
        {
            Campaign(transfer: true);
        }
    }
}
