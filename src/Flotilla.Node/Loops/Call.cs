using System.Threading.Tasks.Sources;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Loops;

/// <summary>
/// One client request on its way to a replica. Once a loop has taken it, the loop answers it exactly once, from its own
/// thread; whoever made it must not touch it between handing it over and the answer.
/// </summary>
internal abstract class Call
{
    /// <summary>What is asked.</summary>
    public CallKind Kind { get; protected set; }

    /// <summary>The write; for a get only its key counts.</summary>
    public Command Command { get; protected set; }

    /// <summary>The page asked for.</summary>
    public ScanRequest Scan { get; protected set; }

    /// <summary>Serve what is applied here.</summary>
    public bool Stale { get; protected set; }

    /// <summary>When the replica answers at the latest.</summary>
    public Instant Deadline { get; protected set; }

    /// <summary>What this counts against the inbox's bound, in bytes.</summary>
    public int Cost => 128 + Command.Key.Length + Command.Value.Length;

    /// <summary>The answer to a write or a get; for a refusal perhaps with words for the client.</summary>
    public abstract void Complete(in CommandResult result, string? detail);

    /// <summary>The answer to a scan.</summary>
    public abstract void Complete(ScanPage page);

    /// <summary>Answers with a bare code, whatever was asked; words reach only who asked for a write or a get.</summary>
    public void Fail(ResultCode code, string? detail = null)
    {
        if (Kind == CallKind.Scan)
        {
            Complete(new ScanPage(code, [], More: false));
        }
        else
        {
            Complete(CommandResult.Of(code), detail);
        }
    }

    /// <summary>Answers a call that a replica will never answer because its loop has ended: only a write may have happened.</summary>
    public void Abandon() => Fail(Kind == CallKind.Command ? ResultCode.Indeterminate : ResultCode.NoQuorum);
}

/// <summary>The answer to a write or a get.</summary>
/// <param name="Result">The result.</param>
/// <param name="Detail">For a refusal: why, in words for the client, or null for what the code says by itself.</param>
internal readonly record struct LocalAnswer(CommandResult Result, string? Detail);

/// <summary>
/// A write or a get that a gateway in this process awaits. Pooled: <see cref="Rent"/> it, hand it to a loop, await
/// <see cref="AsValueTask"/> once; it returns to the pool by itself when the awaiter has taken the result.
/// </summary>
internal sealed class LocalCall : Call, IValueTaskSource<LocalAnswer>
{
    private static readonly ObjectPool<LocalCall> Pool = new(static () => new LocalCall(), 4096);

    private ManualResetValueTaskSourceCore<LocalAnswer> _core = new() { RunContinuationsAsynchronously = true };

    /// <summary>A write.</summary>
    public static LocalCall RentExecute(in Command command, Instant deadline) => Rent(CallKind.Command, command, stale: false, deadline);

    /// <summary>A get.</summary>
    public static LocalCall RentGet(ReadOnlyMemory<byte> key, bool stale, Instant deadline) =>
        Rent(CallKind.Get, new Command(default, key, default, default, 0, 0), stale, deadline);

    /// <summary>The answer; to be awaited exactly once.</summary>
    public ValueTask<LocalAnswer> AsValueTask() => new(this, _core.Version);

    /// <summary>Back to the pool, if no loop has taken it.</summary>
    public void ReturnUnused() => Reset();

    /// <inheritdoc/>
    public override void Complete(in CommandResult result, string? detail) => _core.SetResult(new LocalAnswer(result, detail));

    /// <inheritdoc/>
    public override void Complete(ScanPage page) => throw new InvalidOperationException("A write or a get was answered with a page.");

    LocalAnswer IValueTaskSource<LocalAnswer>.GetResult(short token)
    {
        var result = _core.GetResult(token);
        Reset();
        return result;
    }

    ValueTaskSourceStatus IValueTaskSource<LocalAnswer>.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource<LocalAnswer>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    private static LocalCall Rent(CallKind kind, in Command command, bool stale, Instant deadline)
    {
        var call = Pool.Rent();
        call.Kind = kind;
        call.Command = command;
        call.Stale = stale;
        call.Deadline = deadline;
        return call;
    }

    private void Reset()
    {
        Command = default;
        _core.Reset();
        Pool.Return(this);
    }
}

/// <summary>A scan page that a gateway in this process awaits. Pages are big and rare: not pooled.</summary>
internal sealed class LocalScan : Call
{
    private readonly TaskCompletionSource<ScanPage> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public LocalScan(in ScanRequest request, bool stale, Instant deadline)
    {
        Kind = CallKind.Scan;
        Scan = request;
        Stale = stale;
        Deadline = deadline;
    }

    /// <summary>The answer.</summary>
    public Task<ScanPage> Task => _done.Task;

    /// <inheritdoc/>
    public override void Complete(in CommandResult result, string? detail) => throw new InvalidOperationException("A scan was answered with a result.");

    /// <inheritdoc/>
    public override void Complete(ScanPage page) => _done.TrySetResult(page);
}
