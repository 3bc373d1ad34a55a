using System.Threading.Tasks.Sources;
using Flotilla.Node.Cluster;
using Flotilla.Node.Loops;
using Flotilla.Raft;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Peers;

/// <summary>How far a forwarded call came.</summary>
internal enum ForwardOutcome : byte
{
    /// <summary>The other node answered.</summary>
    Answered,

    /// <summary>It certainly never left this process.</summary>
    NotSent,

    /// <summary>It was sent and no answer came: a write may or may not have happened.</summary>
    Unclear,
}

/// <summary>What came of a forwarded call; <paramref name="Reply"/> counts only if it was answered.</summary>
internal readonly record struct Forwarded(ForwardOutcome Outcome, CallReply Reply);

/// <summary>
/// The asker's side of a call on its way to another node. Pooled; whoever removes it from its session completes it, so that
/// it is completed once. The request itself waits in the session's queue: nothing reads it from here.
/// </summary>
internal sealed class ForwardCall : IValueTaskSource<Forwarded>
{
    private static readonly ObjectPool<ForwardCall> Pool = new(static () => new ForwardCall(), 4096);

    private ManualResetValueTaskSourceCore<Forwarded> _core = new() { RunContinuationsAsynchronously = true };

    /// <summary>The shard asked.</summary>
    public ShardRoute Route { get; private set; } = null!;

    /// <summary>The node was not asked as the leader.</summary>
    public bool AnyReplica { get; private set; }

    /// <summary>When the answer is due.</summary>
    public Instant Deadline { get; private set; }

    /// <summary>It was handed to the stream. Under the session's lock.</summary>
    public bool Sent { get; set; }

    /// <summary>Since when another node than the one asked is known to lead; default while none is. The sweeper's own.</summary>
    public Instant DeposedAt { get; set; }

    /// <summary>A call to be forwarded.</summary>
    public static ForwardCall Rent(ShardRoute route, bool anyReplica, Instant deadline)
    {
        var call = Pool.Rent();
        call.Route = route;
        call.AnyReplica = anyReplica;
        call.Deadline = deadline;
        call.Sent = false;
        call.DeposedAt = default;
        return call;
    }

    /// <summary>The outcome; to be awaited exactly once.</summary>
    public ValueTask<Forwarded> AsValueTask() => new(this, _core.Version);

    /// <summary>Completes it with the other node's answer.</summary>
    public void Complete(in CallReply reply) => _core.SetResult(new Forwarded(ForwardOutcome.Answered, reply));

    /// <summary>Completes it without an answer.</summary>
    public void Fail(ForwardOutcome outcome) => _core.SetResult(new Forwarded(outcome, default));

    Forwarded IValueTaskSource<Forwarded>.GetResult(short token)
    {
        var outcome = _core.GetResult(token);
        Route = null!;
        _core.Reset();
        Pool.Return(this);
        return outcome;
    }

    ValueTaskSourceStatus IValueTaskSource<Forwarded>.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource<Forwarded>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);
}
