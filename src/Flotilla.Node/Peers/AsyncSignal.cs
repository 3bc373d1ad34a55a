using System.Threading.Tasks.Sources;

namespace Flotilla.Node.Peers;

/// <summary>
/// Wakes one waiting task: many may <see cref="Set"/>, one awaits <see cref="WaitAsync"/>. A set that nobody waits for is
/// kept until the next wait; several count as one. Allocates nothing, and never runs the waiter on the setter's thread.
/// </summary>
internal sealed class AsyncSignal : IValueTaskSource
{
    private const int Idle = 0;
    private const int IsSet = 1;
    private const int Waiting = 2;

    private ManualResetValueTaskSourceCore<bool> _core = new() { RunContinuationsAsynchronously = true };
    private int _state;

    /// <summary>Completes at the next set, or at once if one is kept.</summary>
    public ValueTask WaitAsync()
    {
        if (Interlocked.CompareExchange(ref _state, Idle, IsSet) == IsSet)
        {
            return default;
        }

        // Nobody completes the core before the state says that someone waits.
        _core.Reset();
        var task = new ValueTask(this, _core.Version);
        if (Interlocked.CompareExchange(ref _state, Waiting, Idle) == Idle)
        {
            return task;
        }

        Volatile.Write(ref _state, Idle);
        return default;
    }

    /// <summary>Wakes the waiter.</summary>
    public void Set()
    {
        while (true)
        {
            switch (Volatile.Read(ref _state))
            {
                case IsSet:
                    return;
                case Waiting:
                    if (Interlocked.CompareExchange(ref _state, Idle, Waiting) == Waiting)
                    {
                        _core.SetResult(true);
                        return;
                    }

                    break;
                default:
                    if (Interlocked.CompareExchange(ref _state, IsSet, Idle) == Idle)
                    {
                        return;
                    }

                    break;
            }
        }
    }

    void IValueTaskSource.GetResult(short token) => _core.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);
}
