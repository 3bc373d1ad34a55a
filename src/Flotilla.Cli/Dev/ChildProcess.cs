using System.Diagnostics;
using System.Globalization;

namespace Flotilla.Cli.Dev;

/// <summary>
/// A process of this same program, started as a child: its output goes into a log file, and it ends when we do, since it
/// watches its standard input, of which we hold the other end.
/// </summary>
internal sealed class ChildProcess : IDisposable
{
    private const int TailLines = 15;
    private readonly Process _process;
    private readonly StreamWriter _log;
    private readonly Lock _gate = new();
    private readonly Queue<string> _tail = new();
    private readonly Task _pumps;

    private ChildProcess(DevProcess plan, Process process, StreamWriter log)
    {
        Plan = plan;
        _process = process;
        _log = log;
        _pumps = Task.WhenAll(PumpAsync(process.StandardOutput), PumpAsync(process.StandardError));
        Ended = EndAsync();
    }

    /// <summary>What it was started as.</summary>
    public DevProcess Plan { get; }

    /// <summary>Its process id.</summary>
    public int Id => _process.Id;

    /// <summary>Completes with the exit code once it is gone and its last words are in the log.</summary>
    public Task<int> Ended { get; }

    /// <summary>Its last lines.</summary>
    public IReadOnlyList<string> Tail
    {
        get
        {
            lock (_gate)
            {
                return [.. _tail];
            }
        }
    }

    /// <summary>Starts it.</summary>
    public static ChildProcess Start(DevProcess plan, string logFile)
    {
        var program = Environment.ProcessPath ?? throw new InvalidOperationException("the program's own path is unknown");
        var start = new ProcessStartInfo(program) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };

        // Started as `dotnet flotilla.dll`, the program is the host and needs to be told again what to run.
        if (string.Equals(Path.GetFileNameWithoutExtension(program), "dotnet", StringComparison.Ordinal))
        {
            start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "flotilla.dll"));
        }

        foreach (var argument in plan.Arguments.Append("--exit-with-input"))
        {
            start.ArgumentList.Add(argument);
        }

        // All that a child needs to know is on its command line; our own settings must not reach it twice.
        foreach (var name in start.Environment.Keys.Where(k => k.StartsWith("FLOTILLA_", StringComparison.Ordinal)).ToList())
        {
            start.Environment.Remove(name);
        }

        var log = new StreamWriter(new FileStream(logFile, FileMode.Append, FileAccess.Write, FileShare.ReadWrite)) { AutoFlush = true };
        log.WriteLine(string.Create(CultureInfo.InvariantCulture, $"--- {DateTimeOffset.Now:O} {plan.CommandLine}"));
        try
        {
            return new ChildProcess(plan, Process.Start(start)!, log);
        }
        catch
        {
            log.Dispose();
            throw;
        }
    }

    /// <summary>Asks it to end cleanly; it may be gone already.</summary>
    public void AskToEnd()
    {
        try
        {
            _process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It has closed its side: it is ending anyway.
        }
    }

    /// <summary>Ends it at once.</summary>
    public void Kill()
    {
        try
        {
            _process.Kill();
        }
        catch (InvalidOperationException)
        {
            // It was faster.
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _process.Dispose();
        _log.Dispose();
    }

    private async Task<int> EndAsync()
    {
        await _process.WaitForExitAsync(CancellationToken.None);
        await _pumps;
        return _process.ExitCode;
    }

    private async Task PumpAsync(StreamReader from)
    {
        while (await from.ReadLineAsync(CancellationToken.None) is { } line)
        {
            lock (_gate)
            {
                _tail.Enqueue(line);
                if (_tail.Count > TailLines)
                {
                    _ = _tail.Dequeue();
                }

                _log.WriteLine(line);
            }
        }
    }
}
