using Flotilla.Raft;

namespace Flotilla.Node.Loops;

/// <summary>One batch of a loop for the WAL writer: what to persist, and what to send once it is durable. Pooled.</summary>
internal sealed class WalJob
{
    private static readonly ObjectPool<WalJob> Pool = new(static () => new WalJob(), 64);

    /// <summary>In order; per replica by rising sequence.</summary>
    public List<(HostedReplica Hosted, Effect.Persist Persist)> Persists { get; } = [];

    /// <summary>What snapshots have made superfluous; after the persists.</summary>
    public List<(HostedReplica Hosted, LogIndex Through)> Releases { get; } = [];

    /// <summary>Groups that are hosted here no more; after the rest.</summary>
    public List<GroupId> Forgets { get; } = [];

    /// <summary>To be sent after this batch and all before it are durable.</summary>
    public List<OutboundMessage> Sends { get; } = [];

    /// <summary>Something in here must be durable now, not at the next occasion.</summary>
    public bool MustSync { get; private set; }

    /// <summary>Nothing to do.</summary>
    public bool IsEmpty => Persists.Count == 0 && Sends.Count == 0 && Releases.Count == 0 && Forgets.Count == 0;

    /// <summary>An empty job.</summary>
    public static WalJob Rent() => Pool.Rent();

    /// <summary>Adds a persist.</summary>
    public void Add(HostedReplica hosted, Effect.Persist persist)
    {
        Persists.Add((hosted, persist));
        MustSync |= persist.MustSync;
    }

    /// <summary>Adds a message that waits for the disk.</summary>
    public void Add(OutboundMessage message, bool mustSync)
    {
        Sends.Add(message);
        MustSync |= mustSync;
    }

    /// <summary>Back to the pool.</summary>
    public void Return()
    {
        Persists.Clear();
        Releases.Clear();
        Forgets.Clear();
        Sends.Clear();
        MustSync = false;
        Pool.Return(this);
    }
}
