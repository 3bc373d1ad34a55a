using Flotilla.Raft;
using Flotilla.Raft.Quiet;
using Flotilla.Shards;

namespace Flotilla.Simulation.Nodes;

/// <content>
/// Quiet groups: heartbeats of the node stand in for those of the groups that it leads quietly. They get lost, late and cut off
/// like everything else; a process that was started anew sends others, and its first words tell who it is.
/// </content>
public sealed partial class SimulatedNode
{
    private readonly List<(NodeId Node, Pulse Pulse)> _heard = [];
    private QuietGroups<HostedReplica>? _quiet;
    private long _quietWakeAtUs;

    private Pulse Pulse => new(Incarnation, (ulong)Boot, 0);

    /// <summary>A heartbeat of another node has arrived.</summary>
    public void Hear(NodeId node, Pulse pulse)
    {
        if (Up)
        {
            _heard.Add((node, pulse));
            ScheduleRun();
        }
    }

    /// <summary>The first words of another node's process have arrived.</summary>
    public void Meet(NodeId node, Pulse pulse)
    {
        if (Up)
        {
            foreach (var hosted in _quiet?.TakeOutlived(node, pulse.Incarnation, pulse.Boot) ?? [])
            {
                Post(hosted, static (replica, clock) => replica.Raft.LeaderIsSilent(clock.Now));
            }
        }
    }

    private void BeginQuiet()
    {
        _quiet = _world.Options.NodeHeartbeats ? new QuietGroups<HostedReplica>(Id, _world.Options.Replica.Raft) : null;
        _heard.Clear();
        _quietWakeAtUs = long.MaxValue;
        foreach (var other in _world.Nodes.Where(other => _quiet is not null && other != this))
        {
            var pulse = Pulse;
            _world.Network.Send(Number, other.Number, () => other.Meet(Id, pulse));
        }
    }

    /// <summary>A new replica takes part in it.</summary>
    private Replica Beating(Replica replica)
    {
        replica.Raft.Pulse = _quiet is null ? default : Pulse;
        return replica;
    }

    private void ListenFirst()
    {
        foreach (var (node, pulse) in _heard)
        {
            _quiet?.Heard(node, pulse, Clock.Read().Now);
        }

        _heard.Clear();
    }

    private void BeforeStep(HostedReplica hosted)
    {
        if (_quiet?.LastHeard(hosted) is { } at)
        {
            hosted.Replica.Raft.LeaderWasHeard(at);
        }
    }

    private void AfterStep(HostedReplica hosted, Instant now)
    {
        var before = _quiet?.Count ?? 0;
        _quiet?.Note(hosted, hosted.Replica.Raft, now);
        if (_quiet is not null && _quiet.Count != before)
        {
            _world.Count(_quiet.Count > before ? "quiet" : "woken");
            _world.Say(hosted, _quiet.Count > before ? "is quiet" : "wakes");
        }
    }

    /// <summary>Beats, and wakes who has not heard from its leader; after all replicas were stepped.</summary>
    private void TickQuiet(ClockReading clock)
    {
        if (_quiet is null)
        {
            return;
        }

        var to = new List<NodeId>();
        if (_quiet.TakeBeat(clock.Now, _quiet.Count < Replicas.Count, to))
        {
            foreach (var other in to.Select(_world.NodeOf))
            {
                var pulse = Pulse;
                _world.Network.Send(Number, other.Number, () => other.Hear(Id, pulse));
            }
        }

        foreach (var hosted in _quiet.TakeSilent(clock.Now))
        {
            _world.Count("leader silent");
            hosted.Inbox.Add(static (replica, now) => replica.Raft.LeaderIsSilent(now.Now));
            Step(hosted, clock);
        }

        foreach (var hosted in _quiet.TakeForlorn(clock.Now))
        {
            _world.Count("quorum silent");
            hosted.Inbox.Add(static (replica, now) => replica.Raft.QuorumIsSilent(now.Now));
            Step(hosted, clock);
        }

        WakeForQuiet();
    }

    private void WakeForQuiet()
    {
        var next = _quiet!.NextDeadline;
        if (next == Instant.Never)
        {
            return;
        }

        var at = Math.Max(Clock.TrueTimeOf(next), _world.Scheduler.NowUs + 20);
        if (at >= _quietWakeAtUs && _quietWakeAtUs > _world.Scheduler.NowUs)
        {
            return;
        }

        _quietWakeAtUs = at;
        var boot = Boot;
        _world.Scheduler.At(at, () =>
        {
            if (Up && boot == Boot && _quietWakeAtUs == at)
            {
                _quietWakeAtUs = long.MaxValue;
                ScheduleRun();
            }
        });
    }
}
