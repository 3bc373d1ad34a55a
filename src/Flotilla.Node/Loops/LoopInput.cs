using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Loops;

/// <summary>What a <see cref="LoopInput"/> is.</summary>
internal enum LoopInputKind : byte
{
    /// <summary>A client's request: <see cref="LoopInput.Payload"/> is the <see cref="Call"/>.</summary>
    Call,

    /// <summary>A Raft message: the payload is the <see cref="Message"/>, <see cref="LoopInput.Number"/> the sender's incarnation.</summary>
    Message,

    /// <summary>Every persist up to sequence <see cref="LoopInput.Number"/> is durable.</summary>
    Persisted,

    /// <summary>Entries were read back from the disk: the payload is an <c>IReadOnlyList&lt;Entry&gt;</c>.</summary>
    Fetched,

    /// <summary>A peer's process is gone; for every replica of the loop.</summary>
    PeerGone,

    /// <summary>A peer's stream stands: the payload is its <see cref="Hello"/>. For every replica of the loop that relied on another process.</summary>
    PeerProcess,

    /// <summary>Hand leadership to <see cref="LoopInput.Peer"/>, or to whichever voter is most caught up if none is named.</summary>
    Transfer,

    /// <summary>The loop gets another replica: <see cref="LoopInput.Target"/>.</summary>
    Host,

    /// <summary>Run an <see cref="Action"/> on the loop's thread.</summary>
    Run,

    /// <summary>Do something with the replica: the payload is an <c>Action&lt;Replica, ClockReading&gt;</c>. For what is rare.</summary>
    Act,

    /// <summary>The loop loses a replica for good: <see cref="LoopInput.Target"/>.</summary>
    TakeAway,
}

/// <summary>One input of a shard loop. Hot, so one tagged struct.</summary>
/// <param name="Kind">Which input.</param>
/// <param name="Target">The replica that it is for; null for all of the loop.</param>
/// <param name="Payload">Depends on the kind.</param>
/// <param name="Peer">The node that it concerns.</param>
/// <param name="Number">Depends on the kind.</param>
internal readonly record struct LoopInput(LoopInputKind Kind, HostedReplica? Target, object? Payload, NodeId Peer, ulong Number)
{
    public static LoopInput ForCall(HostedReplica target, Call call) => new(LoopInputKind.Call, target, call, default, 0);

    public static LoopInput ForMessage(HostedReplica target, NodeId from, Incarnation incarnation, Message message) =>
        new(LoopInputKind.Message, target, message, from, incarnation.Value);

    public static LoopInput ForPersisted(HostedReplica target, PersistSequence sequence) => new(LoopInputKind.Persisted, target, null, default, sequence.Value);

    public static LoopInput ForFetched(HostedReplica target, NodeId to, IReadOnlyList<Entry> entries) => new(LoopInputKind.Fetched, target, entries, to, 0);

    public static LoopInput ForPeerGone(NodeId peer) => new(LoopInputKind.PeerGone, null, null, peer, 0);

    public static LoopInput ForPeerProcess(Hello process) => new(LoopInputKind.PeerProcess, null, process, process.Node, 0);

    public static LoopInput ForTransfer(HostedReplica target, NodeId to) => new(LoopInputKind.Transfer, target, null, to, 0);

    public static LoopInput ForAct(HostedReplica target, Action<Replica, ClockReading> what) => new(LoopInputKind.Act, target, what, default, 0);

    public static LoopInput ForHost(HostedReplica target) => new(LoopInputKind.Host, target, null, default, 0);

    public static LoopInput ForTakeAway(HostedReplica target) => new(LoopInputKind.TakeAway, target, null, default, 0);

    public static LoopInput ForRun(Action action) => new(LoopInputKind.Run, null, action, default, 0);
}
