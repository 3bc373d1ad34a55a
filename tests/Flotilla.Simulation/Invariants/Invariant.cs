using Flotilla.Raft;
using Flotilla.Simulation.Nodes;

namespace Flotilla.Simulation.Invariants;

/// <summary>Something that holds at every step of every run. Each looks at what changed, not at everything.</summary>
public abstract class Invariant
{
    /// <summary>A node has read its disk at a start; <paramref name="hosted"/> still holds what was known before it stopped.</summary>
    public virtual void Recovered(HostedReplica hosted, RaftRecovery recovered, LogMirror log, bool blank)
    {
    }

    /// <summary>A replica has started.</summary>
    public virtual void Started(HostedReplica hosted)
    {
    }

    /// <summary>A replica wants something on disk; its mirror has it already.</summary>
    public virtual void Persisting(HostedReplica hosted, Effect.Persist persist)
    {
    }

    /// <summary>A message leaves a node.</summary>
    public virtual void Sending(HostedReplica hosted, NodeId to, Message message)
    {
    }

    /// <summary>A replica has taken a step.</summary>
    public virtual void Stepped(HostedReplica hosted)
    {
    }

    /// <summary>Ends the run.</summary>
    protected SimulationException Broken(string what) => new($"{GetType().Name}: {what}");
}
