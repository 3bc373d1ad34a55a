using System.Diagnostics;

namespace Flotilla.Server.Tests.Grpc;

/// <summary>Debian's python3-grpcio as a client that shares no code with ours.</summary>
public sealed class ForeignClientTests
{
    private const string Python = "/usr/bin/python3";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_foreign_client_puts_gets_scans_deletes_and_monitors()
    {
        await using var kv = await KvFixture.StartAsync();
        var (code, output) = await RunAsync("check", $"127.0.0.1:{kv.Listener.Port}");
        Assert.True(code == 0, output);
        Assert.Equal("ok", output.Trim());
    }

    [Fact]
    public async Task The_commands_of_the_foreign_client_print_what_they_got()
    {
        await using var kv = await KvFixture.StartAsync();
        var address = $"localhost:{kv.Listener.Port}";
        Assert.Equal((0, "1.0.1.0"), await RunAsync("put", address, "hello", "world"));
        Assert.Equal((0, "world"), await RunAsync("get", address, "hello"));
        Assert.Equal((0, "deleted"), await RunAsync("delete", address, "hello"));
        Assert.Equal(3, (await RunAsync("get", address, "hello")).Code);
        Assert.Equal((0, "node n1\nshard 1 leader n1 term 3"), await RunAsync("monitor", address));
    }

    private static async Task<(int Code, string Output)> RunAsync(params string[] arguments)
    {
        Assert.True(File.Exists(Python), $"{Python} is missing: apt-get install python3-grpcio");
        var start = new ProcessStartInfo(Python) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "kv_client.py"));
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        using var process = Process.Start(start)!;
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Token);
        limit.CancelAfter(Patience);
        try
        {
            var output = process.StandardOutput.ReadToEndAsync(limit.Token);
            var errors = process.StandardError.ReadToEndAsync(limit.Token);
            await process.WaitForExitAsync(limit.Token);
            return (process.ExitCode, ((await output) + (await errors)).Trim());
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            throw;
        }
    }
}
