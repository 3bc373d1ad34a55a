using System.Diagnostics;
using System.Text;
using Flotilla.Cli.Tests.Fakes;

namespace Flotilla.Cli.Tests.Dev;

/// <summary>A development cluster of real processes, from the first start to the second.</summary>
public sealed class Running
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(90);

    [Fact]
    public async Task A_cluster_starts_loses_a_node_stops_and_finds_its_data_again()
    {
        var dir = Terminal.TempDir();
        var ports = FreeBases();
        string[] arguments = ["dev", "--data-dir", dir, "--http-base", $"{ports.Http}", "--rpc-base", $"{ports.Rpc}", "--router-port", $"{ports.Router}"];
        Env env = new() { ["FLOTILLA_ENDPOINT"] = $"127.0.0.1:{ports.Router}" };
        using (var dev = new DevProcess(arguments))
        {
            await dev.WaitForAsync("Flotilla is ready", Patience);
            Assert.Equal((0, ""), await Terminal.RunAsync(["put", "hello", "-5"], env) is var put ? (put.Exit, put.Err) : default);
            await dev.WaitForAsync("Data and logs:", Patience);
            var pid = int.Parse(dev.Text.Split('\n').First(l => l.TrimStart().StartsWith("n2 ", StringComparison.Ordinal)).Split("pid ")[1]);
            using (var node = Process.GetProcessById(pid))
            {
                node.Kill();
            }

            await dev.WaitForAsync("./flotilla node --node-id n2 ", Patience);
            Assert.Contains("n2 (pid", dev.Text, StringComparison.Ordinal);

            // A call that was under way to the killed node ends as unknown (6), which is honest; the same put may be repeated.
            int exit;
            while ((exit = (await Terminal.RunAsync(["put", "after", "the kill"], env)).Exit) != 0)
            {
                Assert.Equal(6, exit);
            }

            Assert.Equal("-5\n", (await Terminal.RunAsync(["get", "hello"], env)).Out);
            Assert.Contains("\tno\t", (await Terminal.RunAsync(["status"], env)).Out.Replace("no answer", "no", StringComparison.Ordinal), StringComparison.Ordinal);
            Assert.Equal(0, await dev.StopAsync("TERM"));
            Assert.Contains("The data is kept", dev.Text, StringComparison.Ordinal);
        }

        using (var again = new DevProcess(arguments))
        {
            await again.WaitForAsync("Flotilla is ready", Patience);
            Assert.Equal("the kill\n", (await Terminal.RunAsync(["get", "after"], env)).Out);

            // Killed itself, it can't stop its children; they see that it is gone.
            _ = await again.StopAsync("KILL");
            var deadline = Stopwatch.GetTimestamp();
            while ((await Terminal.RunAsync(["get", "after", "--timeout", "500ms"], env)).Exit != 5)
            {
                Assert.True(Stopwatch.GetElapsedTime(deadline) < Patience, "the children of a killed `dev` go on");
            }
        }
    }

    [Fact]
    public async Task Nodes_that_are_restarted_by_hand_one_after_the_other_keep_their_router()
    {
        var ports = FreeBases();
        using var dev = new DevProcess(["dev", "--nodes", "2", "--shards", "1", "--replicas", "2", "--data-dir", Terminal.TempDir(), "--http-base", $"{ports.Http}", "--rpc-base", $"{ports.Rpc}", "--router-port", $"{ports.Router}"]);
        Env env = new() { ["FLOTILLA_ENDPOINT"] = $"127.0.0.1:{ports.Router}" };
        await dev.WaitForAsync("Data and logs:", Patience);
        var again = new List<DevProcess>();
        try
        {
            foreach (var name in new[] { "n1", "n2" })
            {
                using (var node = Process.GetProcessById(int.Parse(dev.Text.Split('\n').First(l => l.TrimStart().StartsWith(name + " ", StringComparison.Ordinal)).Split("pid ")[1])))
                {
                    node.Kill();
                }

                await dev.WaitForAsync($"./flotilla node --node-id {name} ", Patience);
                var line = dev.Text.Split('\n').First(l => l.Contains($"./flotilla node --node-id {name} ", StringComparison.Ordinal));
                again.Add(new DevProcess(line.Trim().Split(' ')[1..]));
                await dev.WaitForAsync($"{name} is back", Patience);
            }

            Assert.Equal((0, ""), await Terminal.RunAsync(["put", "served", "by others"], env) is var put ? (put.Exit, put.Err) : default);
            Assert.Equal(0, await dev.StopAsync("TERM"));
        }
        finally
        {
            again.ForEach(static process => process.Dispose());
        }
    }

    [Fact]
    public async Task A_node_that_cannot_start_is_told_with_its_last_words()
    {
        var dir = Terminal.TempDir();
        var ports = FreeBases();
        await File.WriteAllTextAsync(Path.Combine(dir, "n1"), "a file where a directory should be", TestContext.Current.CancellationToken);
        using var dev = new DevProcess(["dev", "--nodes", "1", "--replicas", "1", "--data-dir", dir, "--http-base", $"{ports.Http}", "--rpc-base", $"{ports.Rpc}", "--router-port", $"{ports.Router}"]);
        Assert.Equal(1, await dev.EndAsync(Patience));
        Assert.Contains("n1 has ended with exit code 1", dev.Text, StringComparison.Ordinal);
        Assert.Contains("flotilla: ", dev.Text, StringComparison.Ordinal);
    }

    private static (int Http, int Rpc, int Router) FreeBases()
    {
        // Three free ports in a row are looked for far from what the system hands out by itself.
        var random = new Random();
        while (true)
        {
            var start = random.Next(11_000, 30_000);
            if (Enumerable.Range(start, 21).All(IsFree))
            {
                return (start, start + 9, start + 20);
            }
        }
    }

    private static bool IsFree(int port)
    {
        try
        {
            using var listener = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, port);
            listener.Start();
            return true;
        }
        catch (System.Net.Sockets.SocketException)
        {
            return false;
        }
    }

    /// <summary>The command as a process without a terminal; its words on both streams together.</summary>
    private sealed class DevProcess : IDisposable
    {
        private readonly Process _process;
        private readonly StringBuilder _text = new();
        private readonly SemaphoreSlim _more = new(0);

        public DevProcess(string[] arguments)
        {
            _process = Process.Start(new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "flotilla.dll"), .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true, UseShellExecute = false })!;
            _process.OutputDataReceived += (_, line) => Take(line.Data);
            _process.ErrorDataReceived += (_, line) => Take(line.Data);
            _process.BeginOutputReadLine();
            _process.BeginErrorReadLine();
        }

        public string Text
        {
            get
            {
                lock (_text)
                {
                    return _text.ToString();
                }
            }
        }

        public async Task WaitForAsync(string words, TimeSpan patience)
        {
            var started = Stopwatch.GetTimestamp();
            while (!Text.Contains(words, StringComparison.Ordinal))
            {
                var left = patience - Stopwatch.GetElapsedTime(started);
                Assert.True(left > TimeSpan.Zero && !_process.HasExited, $"never said '{words}':\n{Text}");
                _ = await _more.WaitAsync(TimeSpan.FromSeconds(1));
            }
        }

        public async Task<int> StopAsync(string signal)
        {
            using var kill = Process.Start("kill", [$"-{signal}", $"{_process.Id}"]);
            await kill.WaitForExitAsync();
            return await EndAsync(Patience);
        }

        public async Task<int> EndAsync(TimeSpan patience)
        {
            using var late = new CancellationTokenSource(patience);
            await _process.WaitForExitAsync(late.Token);
            return _process.ExitCode;
        }

        public void Dispose()
        {
            if (!_process.HasExited)
            {
                _process.Kill();
            }

            _process.Dispose();
            _more.Dispose();
        }

        private void Take(string? line)
        {
            lock (_text)
            {
                _ = _text.Append(line).Append('\n');
            }

            _ = _more.Release();
        }
    }
}
