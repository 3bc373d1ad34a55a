using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Flotilla.Raft;
using Flotilla.Raft.Quiet;

namespace Flotilla.Node.Loops;

/// <summary>
/// When the heartbeats of other nodes' loops were heard last. Written by the streams as they come and looked up by the loops when
/// they have to know, so that a heartbeat wakes nobody. Thread-safe.
/// </summary>
internal sealed class HeardPulses
{
    private readonly ConcurrentDictionary<(NodeId Node, Pulse Pulse), StrongBox<long>> _heardUs = new();

    private readonly ConcurrentDictionary<NodeId, StrongBox<long>> _nodesUs = new();

    /// <summary>A heartbeat came.</summary>
    public void Hear(NodeId node, Pulse pulse, Instant at)
    {
        Volatile.Write(ref _heardUs.GetOrAdd((node, pulse), static _ => new StrongBox<long>(long.MinValue / 2)).Value, at.Microseconds);
        Volatile.Write(ref _nodesUs.GetOrAdd(node, static _ => new StrongBox<long>(long.MinValue / 2)).Value, at.Microseconds);
    }

    /// <summary>When the newest heartbeat of any loop of a node came, or null if none ever did.</summary>
    public Instant? Last(NodeId node) => _nodesUs.TryGetValue(node, out var at) ? new Instant(Volatile.Read(ref at.Value)) : null;

    /// <summary>When the newest one came, or null if none ever did.</summary>
    public Instant? Last(NodeId node, Pulse pulse) => _heardUs.TryGetValue((node, pulse), out var at) ? new Instant(Volatile.Read(ref at.Value)) : null;

    /// <summary>The process of a node is this one: heartbeats of an earlier one mean nothing any more.</summary>
    public void ForgetOthers(NodeId node, Incarnation incarnation, ulong boot)
    {
        foreach (var (key, _) in _heardUs)
        {
            if (key.Node == node && (key.Pulse.Incarnation != incarnation || key.Pulse.Boot != boot))
            {
                _heardUs.TryRemove(key, out _);
            }
        }
    }
}
