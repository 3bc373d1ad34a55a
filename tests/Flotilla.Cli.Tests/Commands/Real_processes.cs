using System.Diagnostics;
using System.Text;
using Flotilla.Cli.Tests.Fakes;

namespace Flotilla.Cli.Tests.Commands;

/// <summary>The built command as a process of its own: exit codes, streams, signals.</summary>
public sealed class Real_processes
{
    [Fact]
    public async Task Exit_codes_and_streams_are_those_of_the_contract()
    {
        await using var server = await FakeServer.StartAsync();
        Assert.Equal((0, "OK 1.0.1.0\n", ""), await RunAsync(server, "put", "k", "-5"));
        Assert.Equal((0, "-5\n", ""), await RunAsync(server, "get", "k"));
        Assert.Equal((3, "", "not found\n"), await RunAsync(server, "get", "none"));
        Assert.Equal(2, (await RunAsync(server, "nonsense")).Exit);
        Assert.Equal(2, (await RunAsync(server)).Exit);
    }

    [Fact]
    public async Task A_reader_that_has_seen_enough_is_no_failure()
    {
        await using var server = await FakeServer.StartAsync();
        for (var i = 0; i < 3000; i++)
        {
            server.Set($"k{i}", Encoding.ASCII.GetBytes(new string('x', 1000)));
        }

        using var process = Start(server, "scan");
        Assert.StartsWith("k0\t", await process.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);
        process.StandardOutput.Close();
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal((0, ""), (process.ExitCode, await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken)));
    }

    [Fact]
    public async Task An_interrupt_ends_a_load_cleanly_and_it_goes_on_later()
    {
        await using var server = await FakeServer.StartAsync();
        var file = Path.Combine(Terminal.TempDir(), "big.tsv");
        await File.WriteAllTextAsync(file, string.Concat(Enumerable.Range(0, 3000).Select(i => $"k{i}\tv\n")), TestContext.Current.CancellationToken);
        var enough = new TaskCompletionSource();
        var gate = new TaskCompletionSource();
        server.Script = _ =>
        {
            if (server.Applied.Count < 500)
            {
                return null;
            }

            enough.TrySetResult();
            return new Twist.Wait(gate.Task);
        };
        using (var process = Start(server, "load", file, "--clients", "4"))
        {
            await enough.Task.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
            using var kill = Process.Start("kill", ["-INT", $"{process.Id}"]);
            await kill.WaitForExitAsync(TestContext.Current.CancellationToken);
            gate.SetResult();
            await process.WaitForExitAsync(TestContext.Current.CancellationToken);
            Assert.Equal(130, process.ExitCode);
            Assert.Contains("Run the same command again", await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);
        }

        Assert.Equal(0, (await RunAsync(server, "load", file)).Exit);
        Assert.Equal(3000, server.Count);
    }

    private static Process Start(FakeServer server, params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true, UseShellExecute = false };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "flotilla.dll"));
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        start.Environment["FLOTILLA_ENDPOINT"] = server.Url;
        return Process.Start(start)!;
    }

    private static async Task<(int Exit, string Out, string Err)> RunAsync(FakeServer server, params string[] arguments)
    {
        using var process = Start(server, arguments);
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, await output, await error);
    }
}
