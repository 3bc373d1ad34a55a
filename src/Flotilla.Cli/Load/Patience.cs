using Flotilla.Cli.Flags;
using Flotilla.Client;

namespace Flotilla.Cli.Load;

/// <summary>Why something stopped before its end.</summary>
/// <param name="Message">What happened, for people.</param>
/// <param name="ExitCode">What the command returns.</param>
internal sealed record LoadFailure(string Message, int ExitCode);

/// <summary>
/// What workers that put many records share: how long nothing could be stored, what people are told of it, and why they stop. Thread-safe.
/// </summary>
/// <param name="patience">They stop when nothing could be stored for so long.</param>
/// <param name="warn">Tells people, at most once in ten seconds.</param>
internal sealed class Patience(TimeSpan patience, Action<string> warn)
{
    private const int SayEveryMs = 10_000;
    private readonly Lock _gate = new();
    private long _repeated;
    private long _lastSuccess = Environment.TickCount64;
    private long _saidAt = long.MinValue / 2;
    private LoadFailure? _failure;

    /// <summary>Puts sent again since their outcome was unknown.</summary>
    public long Repeated => Interlocked.Read(ref _repeated);

    /// <summary>Why they stop, or null.</summary>
    public LoadFailure? Failure => Volatile.Read(ref _failure);

    /// <summary>Something was stored.</summary>
    public void Stored() => Volatile.Write(ref _lastSuccess, Environment.TickCount64);

    /// <summary>A put may have failed for the moment: then it is to be sent again, unless there is a <see cref="Failure"/> by now. False if it failed for good.</summary>
    public bool Retries(CallOutcome outcome, CallError error)
    {
        if (outcome is not (CallOutcome.Unknown or CallOutcome.Unavailable))
        {
            return false;
        }

        if (outcome == CallOutcome.Unknown)
        {
            Interlocked.Increment(ref _repeated);
        }

        Say(error);
        if (Environment.TickCount64 - Volatile.Read(ref _lastSuccess) > patience.TotalMilliseconds)
        {
            Fail(new LoadFailure($"nothing could be stored for {Readers.Show(patience)}: {error.Message} ({error.Code})", ExitCode.Unavailable));
        }

        return true;
    }

    /// <summary>They stop; the first reason counts.</summary>
    public void Fail(LoadFailure failure)
    {
        lock (_gate)
        {
            _failure ??= failure;
        }
    }

    private void Say(CallError error)
    {
        lock (_gate)
        {
            if (Environment.TickCount64 - _saidAt > SayEveryMs)
            {
                _saidAt = Environment.TickCount64;
                warn($"waiting: {error.Message} ({error.Code})");
            }
        }
    }
}
