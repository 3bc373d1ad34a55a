using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text;

namespace Flotilla.Cluster.Tests.Harness;

/// <summary>Programs and signals, always by pid.</summary>
internal static class Shell
{
    /// <summary>The repository's root.</summary>
    public static string Root { get; } = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(Here())!, "..", "..", ".."));

    /// <summary>The command line's assembly, in the configuration that this test was built in.</summary>
    public static string Cli { get; } = Path.Combine(Root, "src", "Flotilla.Cli", "bin", new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name, "net10.0", "flotilla.dll");

    /// <summary>Runs a program to its end.</summary>
    public static (int ExitCode, string Output, string Error) Run(string file, IEnumerable<string> args, string? input = null, TimeSpan? timeout = null)
    {
        using var process = Start(file, args, redirectInput: input is not null);
        var output = new StringBuilder();
        var error = new StringBuilder();
        process.OutputDataReceived += (_, e) => Append(output, e.Data);
        process.ErrorDataReceived += (_, e) => Append(error, e.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        if (input is not null)
        {
            process.StandardInput.Write(input);
            process.StandardInput.Close();
        }

        if (!process.WaitForExit(timeout ?? TimeSpan.FromSeconds(60)))
        {
            process.Kill();
            throw new TimeoutException($"{file} {string.Join(' ', args)} did not end; it said:\n{output}{error}");
        }

        process.WaitForExit();
        return (process.ExitCode, output.ToString(), error.ToString());
    }

    /// <summary>Runs a `flotilla` command to its end.</summary>
    public static (int ExitCode, string Output, string Error) Flotilla(params string[] args) => Run("dotnet", [Cli, .. args]);

    /// <summary>Starts a program with its output redirected.</summary>
    public static Process Start(string file, IEnumerable<string> args, bool redirectInput = false)
    {
        var info = new ProcessStartInfo(file) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = redirectInput, UseShellExecute = false };
        foreach (var arg in args)
        {
            info.ArgumentList.Add(arg);
        }

        return Process.Start(info)!;
    }

    /// <summary>Sends a signal to one process that the test started.</summary>
    public static void Signal(Process process, string signal) => Run("kill", [$"-{signal}", process.Id.ToString()]);

    /// <summary>Waits until a condition holds.</summary>
    public static async Task EventuallyAsync(Func<Task<bool>> condition, string what, TimeSpan? within = null)
    {
        var deadline = Stopwatch.StartNew();
        while (!await condition())
        {
            if (deadline.Elapsed > (within ?? TimeSpan.FromSeconds(30)))
            {
                throw new TimeoutException($"did not happen in time: {what}");
            }

            await Task.Yield();
            await Pause.ShortAsync();
        }
    }

    private static void Append(StringBuilder into, string? line)
    {
        if (line is not null)
        {
            lock (into)
            {
                into.Append(line).Append('\n');
            }
        }
    }

    private static string Here([CallerFilePath] string here = "") => here;
}

/// <summary>The pause between two looks at a condition.</summary>
internal static class Pause
{
    private static readonly TimeSpan Between = TimeSpan.FromMilliseconds(20);

    public static Task ShortAsync() => Task.Delay(Between);
}
