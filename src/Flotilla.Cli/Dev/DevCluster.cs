using System.Diagnostics;
using System.Globalization;
using Flotilla.Client;

namespace Flotilla.Cli.Dev;

/// <summary>Runs the processes of a development cluster until it is told to stop, and tells what happens to them.</summary>
internal sealed class DevCluster(IReadOnlyList<DevProcess> plan, string logDir, TextWriter say) : IDisposable
{
    private static readonly TimeSpan EndPatience = TimeSpan.FromSeconds(10);
    private readonly List<ChildProcess> _children = [];

    /// <summary>Starts every process.</summary>
    public void Start()
    {
        Directory.CreateDirectory(logDir);
        foreach (var process in plan)
        {
            _children.Add(ChildProcess.Start(process, LogOf(process)));
        }
    }

    /// <summary>Waits until every process says that it is ready. Null then; else what is wrong.</summary>
    public async Task<string?> WaitReadyAsync(TimeSpan patience, CancellationToken stop)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(stop);
        deadline.CancelAfter(patience);
        var waiting = _children.ToDictionary(c => c, c => ReadyAsync(c.Plan, deadline.Token));
        while (waiting.Count > 0)
        {
            _ = await Task.WhenAny(waiting.Values.Concat(_children.Select(c => (Task)c.Ended)));
            if (_children.Find(c => c.Ended.IsCompleted) is { } gone && !stop.IsCancellationRequested)
            {
                await deadline.CancelAsync();
                var code = await gone.Ended;
                return string.Create(CultureInfo.InvariantCulture, $"{gone.Plan.Name} has ended with exit code {code}. Its last lines ({LogOf(gone.Plan)}):\n  {string.Join("\n  ", gone.Tail)}");
            }

            foreach (var (child, ready) in waiting.Where(w => w.Value.IsCompleted).ToList())
            {
                stop.ThrowIfCancellationRequested();
                if (!await ready)
                {
                    return $"{child.Plan.Name} was not ready within {patience.TotalSeconds:0} s; see {LogOf(child.Plan)}";
                }

                _ = waiting.Remove(child);
            }
        }

        return null;
    }

    /// <summary>Watches until told to stop, or until no node is left. True in the first case.</summary>
    public async Task<bool> WatchAsync(CancellationToken stop)
    {
        var alive = _children.ToList();
        var stopped = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var registration = stop.Register(() => stopped.TrySetResult());
        var returning = new List<(ChildProcess Child, Task<bool> IsBack)>();
        while (true)
        {
            _ = await Task.WhenAny(alive.Select(c => (Task)c.Ended).Append(stopped.Task));
            if (stopped.Task.IsCompleted)
            {
                await Task.WhenAll(returning.Select(static one => one.IsBack));
                return true;
            }

            foreach (var gone in alive.Where(c => c.Ended.IsCompleted).ToList())
            {
                _ = alive.Remove(gone);
                await TellEndAsync(gone);
                returning.Add((gone, TellReturnAsync(gone.Plan, stop)));
            }

            // Nodes that were started again by hand, one after the other, are the cluster too: its router stays.
            if (!alive.Exists(IsNode) && !returning.Exists(static one => IsNode(one.Child) && one.IsBack is { IsCompletedSuccessfully: true, Result: true }))
            {
                await say.WriteLineAsync("No node is left.");
                return false;
            }
        }
    }

    /// <summary>Ends every process: asks, waits, insists.</summary>
    public async Task StopAsync()
    {
        foreach (var child in _children)
        {
            child.AskToEnd();
        }

        var all = Task.WhenAll(_children.Select(c => c.Ended));
        if (await Task.WhenAny(all, Task.Delay(EndPatience)) != all)
        {
            foreach (var child in _children.Where(c => !c.Ended.IsCompleted))
            {
                await say.WriteLineAsync($"{child.Plan.Name} does not end; killing it (what it acknowledged is on disk)");
                child.Kill();
            }

            _ = await all;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var child in _children)
        {
            child.Dispose();
        }
    }

    /// <summary>The process ids by name, for whoever wants to kill one.</summary>
    public string PidOf(DevProcess process) => _children.Find(c => c.Plan == process)?.Id.ToString(CultureInfo.InvariantCulture) ?? "-";

    private static bool IsNode(ChildProcess child) => child.Plan.Arguments[0] is "node";

    private string LogOf(DevProcess process) => Path.Combine(logDir, process.Name + ".log");

    private async Task TellEndAsync(ChildProcess gone)
    {
        var code = await gone.Ended;
        var how = code > 128 ? $"was ended by signal {code - 128}" : $"has ended with exit code {code}";
        await say.WriteLineAsync($"{gone.Plan.Name} (pid {gone.Id}) {how}; its log is {LogOf(gone.Plan)}");
        if (code is not (0 or > 128))
        {
            foreach (var line in gone.Tail.TakeLast(5))
            {
                await say.WriteLineAsync($"  {line}");
            }
        }

        await say.WriteLineAsync($"Start it again in another terminal:\n  {gone.Plan.CommandLine}");
    }

    private async Task<bool> TellReturnAsync(DevProcess process, CancellationToken stop)
    {
        var isBack = await ReadyAsync(process, stop);
        if (isBack)
        {
            await say.WriteLineAsync($"{process.Name} is back (started by somebody else: ending this cluster will not end it)");
        }

        return isBack;
    }

    /// <summary>Asks until the process says that it is ready. False if cancelled before.</summary>
    private static async Task<bool> ReadyAsync(DevProcess process, CancellationToken cancel)
    {
        using var client = new FlotillaClient(new FlotillaClientOptions { Endpoints = [process.Http], Timeout = TimeSpan.FromMilliseconds(500), ReadAttemptTimeout = TimeSpan.FromMilliseconds(500) });
        try
        {
            while (true)
            {
                var asked = Stopwatch.GetTimestamp();
                if (await client.IsReadyAsync(cancel))
                {
                    return true;
                }

                // A refused connection comes back at once.
                var pause = TimeSpan.FromMilliseconds(50) - Stopwatch.GetElapsedTime(asked);
                await Task.Delay(pause > TimeSpan.Zero ? pause : TimeSpan.Zero, cancel);
            }
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }
}
