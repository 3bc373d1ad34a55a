using Flotilla.Raft;
using Flotilla.Raft.Quiet;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Loops;

/// <summary>
/// The quiet replicas of one shard loop, on its thread: sends the heartbeats that stand in for theirs, and wakes those that follow when
/// their leader's are missing, and those that lead when a majority's are (<see cref="QuietGroups{T}"/> says who and when).
/// </summary>
/// <param name="self">This node.</param>
/// <param name="options">The times of the groups.</param>
/// <param name="loop">The loop's number.</param>
/// <param name="heard">What came from other nodes.</param>
/// <param name="beat">Sends a heartbeat of this loop to nodes; may drop. The list is the caller's again afterwards.</param>
internal sealed class QuietShards(NodeId self, RaftOptions options, uint loop, HeardPulses heard, Action<IReadOnlyList<NodeId>, uint> beat)
{
    private readonly QuietGroups<HostedReplica> _groups = new(self, options);
    private readonly List<NodeId> _to = [];

    /// <summary>When <see cref="Tick"/> has something to do.</summary>
    public Instant NextDeadline => _groups.NextDeadline;

    /// <summary>A message is about to be handed to a replica: a quiet one may have to say whether its leader lives.</summary>
    public void BeforeMessage(HostedReplica hosted)
    {
        var raft = hosted.Replica.Raft;
        if (raft is { IsQuiet: true, Role: Role.Follower } && heard.Last(raft.Leader, raft.LeaderPulse) is { } at)
        {
            raft.LeaderWasHeard(at);
        }
    }

    /// <summary>A replica was stepped.</summary>
    public void Note(HostedReplica hosted, Instant now)
    {
        var before = _groups.Count;
        _groups.Note(hosted, hosted.Replica.Raft, now);
        Show(before);
    }

    /// <summary>A replica was taken away: its shard is retired, so nobody needs its leader.</summary>
    public void Forget(HostedReplica hosted)
    {
        var before = _groups.Count;
        _groups.Forget(hosted);
        Show(before);
    }

    /// <summary>Beats, and wakes the replicas whose leader is silent. <paramref name="touch"/> is called for each of them.</summary>
    public void Tick(Instant now, int replicas, Action<HostedReplica> touch)
    {
        if (now < _groups.NextDeadline)
        {
            return;
        }

        _to.Clear();
        if (_groups.TakeBeat(now, someAreAwake: _groups.Count < replicas, _to))
        {
            beat(_to, loop);
        }

        foreach (var (node, pulse) in _groups.Sources)
        {
            if (heard.Last(node, pulse) is { } at)
            {
                _groups.Heard(node, pulse, at);
            }
        }

        foreach (var node in _groups.Peers)
        {
            if (heard.Last(node) is { } at)
            {
                _groups.Heard(node, at);
            }
        }

        Wake(_groups.TakeSilent(now), now, touch);
        foreach (var hosted in _groups.TakeForlorn(now))
        {
            touch(hosted);
            hosted.Replica.Raft.QuorumIsSilent(now);
        }
    }

    /// <summary>The process of a node is this one: who relied on an earlier one wakes.</summary>
    public void ProcessIs(Hello process, Instant now, Action<HostedReplica> touch) =>
        Wake(_groups.TakeOutlived(process.Node, process.Incarnation, process.BootNumber), now, touch);

    /// <summary>The loop has ended: none of its replicas is quiet any more, or anything else.</summary>
    public void End() => NodeMetrics.QuietReplicas.Add(-_groups.Count);

    private void Show(int before)
    {
        if (_groups.Count != before)
        {
            NodeMetrics.QuietReplicas.Add(_groups.Count - before);
        }
    }

    private static void Wake(IReadOnlyList<HostedReplica> silent, Instant now, Action<HostedReplica> touch)
    {
        foreach (var hosted in silent)
        {
            touch(hosted);
            hosted.Replica.Raft.LeaderIsSilent(now);
        }
    }
}
