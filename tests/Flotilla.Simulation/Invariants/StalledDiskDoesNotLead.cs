using Flotilla.Raft;
using Flotilla.Simulation.Nodes;
using Flotilla.Simulation.Time;

namespace Flotilla.Simulation.Invariants;

/// <summary>
/// A leader whose disk acknowledges nothing hands leadership over, or steps down, in about <see cref="RaftOptions.DiskStallMs"/>
/// and an election timeout for each heir that it tries (hazard 5), whatever its heartbeats say. One that is alone has nobody
/// to hand it to.
/// </summary>
public sealed class StalledDiskDoesNotLead(Scheduler scheduler, RaftOptions options, int nodes) : Invariant
{
    // Each heir is tried twice if an operator asked for a transfer just before; and a clock may run ten per cent slow.
    private readonly long _patienceUs = (options.DiskStallMs + (2L * (nodes - 1) * options.ElectionTimeoutMs)) * 1150;

    private readonly Dictionary<HostedReplica, long> _leadsOthersSinceUs = [];

    /// <inheritdoc/>
    public override void Stepped(HostedReplica hosted)
    {
        if (hosted.Replica.Raft is not { Role: Role.Leader, Configuration.Voters.Count: > 1 })
        {
            _leadsOthersSinceUs.Remove(hosted);
            return;
        }

        _leadsOthersSinceUs.TryAdd(hosted, scheduler.NowUs);
        var since = Math.Max(Math.Max(hosted.OwedSinceUs, hosted.Node.DisturbedAtUs), _leadsOthersSinceUs[hosted]);
        if (hosted.Node.DisturbedAtUs <= scheduler.NowUs && scheduler.NowUs - since > _patienceUs)
        {
            throw Broken($"{hosted.Name} leads {hosted.Replica.Raft.Term} though its disk has acknowledged nothing for {(scheduler.NowUs - hosted.OwedSinceUs) / 1000} ms");
        }
    }
}
