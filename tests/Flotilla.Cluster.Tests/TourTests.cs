using System.Diagnostics;
using Flotilla.Cluster.Tests.Harness;

namespace Flotilla.Cluster.Tests;

/// <summary>The README's tour through the launcher, as a newcomer walks it.</summary>
public sealed class TourTests
{
    [Fact]
    public async Task Dev_serves_survives_a_killed_node_stops_on_a_signal_and_finds_its_data_again()
    {
        var folder = Directory.CreateTempSubdirectory("flotilla-dev-").FullName;
        var (http, rpc, router) = (Ports.Next(), Ports.Next(), Ports.Next());
        string[] dev = ["dev", "--data-dir", folder, "--http-base", $"{http}", "--rpc-base", $"{rpc}", "--router-port", $"{router}"];
        var endpoint = $"http://127.0.0.1:{router}";
        try
        {
            using (var first = Shell.Start(Path.Combine(Shell.Root, "flotilla"), dev))
            {
                var said = await UntilReadyAsync(first);
                Assert.Contains(endpoint, said, StringComparison.Ordinal);
                Assert.Equal(0, Shell.Flotilla("put", "hello", "world", "--endpoint", endpoint).ExitCode);
                var pid = int.Parse(Shell.Run("pgrep", ["-f", $"node --node-id n2 .*{folder}"]).Output.Split('\n')[0], System.Globalization.CultureInfo.InvariantCulture);
                Process.GetProcessById(pid).Kill();
                Assert.Equal("world", Shell.Flotilla("get", "hello", "--endpoint", endpoint).Output.Trim());

                // A call that was under way to the killed node ends as unknown (6), which is honest; the same put may be repeated.
                int exit;
                while ((exit = Shell.Flotilla("put", "still", "here", "--endpoint", endpoint).ExitCode) != 0)
                {
                    Assert.Equal(6, exit);
                }

                Shell.Signal(first, "TERM");
                await ExitAsync(first);
                Assert.Equal(0, first.ExitCode);
            }

            Assert.Equal("", Shell.Run("pgrep", ["-f", folder]).Output.Trim());
            using var second = Shell.Start(Path.Combine(Shell.Root, "flotilla"), dev);
            await UntilReadyAsync(second);
            Assert.Equal("world", Shell.Flotilla("get", "hello", "--endpoint", endpoint).Output.Trim());
            Assert.Equal("here", Shell.Flotilla("get", "still", "--endpoint", endpoint).Output.Trim());
            Assert.Equal(3, Shell.Flotilla("get", "absent", "--endpoint", endpoint).ExitCode);
            Shell.Signal(second, "INT");
            await ExitAsync(second);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task A_foreign_grpc_client_puts_gets_and_deletes_on_a_real_node()
    {
        await using var cluster = await TestCluster.StartAsync();
        var script = Path.Combine(Shell.Root, "tests", "Flotilla.Wire.Tests", "foreign", "kv_client.py");
        var (exitCode, output, error) = Shell.Run("/usr/bin/python3", [script, "check", $"127.0.0.1:{cluster.Nodes[1].RpcPort}"]);
        Assert.True(exitCode == 0, output + error);
    }

    private static Task ExitAsync(Process process) =>
        process.WaitForExitAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);

    /// <summary>Reads what dev prints until it says that it serves.</summary>
    private static async Task<string> UntilReadyAsync(Process process)
    {
        var said = new System.Text.StringBuilder();
        var ready = new TaskCompletionSource();
        void Hear(string? line)
        {
            lock (said)
            {
                said.Append(line).Append('\n');
            }

            if (line is null || line.Contains("Ctrl-C", StringComparison.Ordinal))
            {
                ready.TrySetResult();
            }
        }

        process.OutputDataReceived += (_, e) => Hear(e.Data);
        process.ErrorDataReceived += (_, e) => Hear(e.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        await ready.Task.WaitAsync(TimeSpan.FromSeconds(90), TestContext.Current.CancellationToken);
        Assert.False(process.HasExited, said.ToString());
        lock (said)
        {
            return said.ToString();
        }
    }
}
