using System.Diagnostics;
using System.Globalization;
using Flotilla.Cli.Dev;
using Flotilla.Cli.Flags;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla dev</c>.</summary>
internal sealed class DevCommand : CliCommand
{
    private static readonly Flag<int> Nodes = new("--nodes", "N", "How many nodes, each a process", Readers.Number(1, 9), "3");
    private static readonly Flag<string> DataDir = new("--data-dir", "DIR", "Where data and logs are kept between runs", Readers.SomeText, "./data/dev");
    private static readonly Flag<int> HttpBase = new("--http-base", "PORT", "Node i serves HTTP on this plus i", Readers.Number(1, 65500), "8000");
    private static readonly Flag<int> RpcBase = new("--rpc-base", "PORT", "Node i serves other nodes on this plus i", Readers.Number(1, 65500), "50050");
    private static readonly Flag<int> RouterPort = new("--router-port", "PORT", "Where the router serves HTTP", Readers.Number(1, 65535), "3000");
    private static readonly Flag<TimeSpan> ReadyWithin = new("--ready-within", "TIME", "Give up if the cluster is not ready after so long", Readers.Time(TimeSpan.FromSeconds(1), TimeSpan.FromHours(1)), "1m");
    private static readonly Toggle AutoScale = new("--autoscale", "Comes later", hidden: true);

    public DevCommand()
        : base(
            "dev",
            "Starts a cluster on this machine, each node a process, and a router; Ctrl-C or SIGTERM stops all. The data is kept.",
            "flotilla dev", "three nodes n1, n2, n3 and a router on http://127.0.0.1:3000",
            "flotilla dev --nodes 5 --shards 5 --data-dir /tmp/five", "a larger one elsewhere",
            "flotilla dev --http-base 18000 --rpc-base 18050 --router-port 18000", "beside another one")
    {
        Use(Nodes, NodeFlags.Shards, NodeFlags.Replicas, NodeFlags.Mode, DataDir, HttpBase, RpcBase, RouterPort, ReadyWithin, AutoScale);
        Use(NodeFlags.Tuning);
    }

    /// <inheritdoc/>
    public override async Task<int> RunAsync(Invocation invocation)
    {
        var shell = invocation.Shell;
        var mode = NodeFlags.ModeOf(invocation);
        if (invocation.Get(AutoScale))
        {
            throw new UsageException("--autoscale comes later");
        }

        NodeFlags.CheckTuning(invocation);
        var dataDir = Path.GetFullPath(invocation.Get(DataDir));
        var plan = DevPlan.Make(
            invocation.Get(Nodes), invocation.Get(NodeFlags.Shards), invocation.Get(NodeFlags.Replicas),
            invocation.Get(HttpBase), invocation.Get(RpcBase), invocation.Get(RouterPort), dataDir, ["--mode", ShardModes.NameOf(mode), .. NodeFlags.GivenTuning(invocation)]);
        if (plan.SelectMany(p => p.Ports).GroupBy(p => p.Port).FirstOrDefault(g => g.Count() > 1) is { } twice)
        {
            throw new UsageException($"port {twice.Key} would be used twice ({string.Join(" and ", twice.Select(p => p.Flag).Distinct(StringComparer.Ordinal))}): choose the bases further apart");
        }

        var ready = invocation.Get(ReadyWithin);
        if (await DevPlan.BusyPortAsync(plan, TimeSpan.FromSeconds(3), shell.Stop) is { } busy)
        {
            await shell.Err.WriteLineAsync($"flotilla dev: {busy}");
            return ExitCode.Failed;
        }

        var logDir = Path.Combine(dataDir, "logs");
        var started = Stopwatch.GetTimestamp();
        using var cluster = new DevCluster(plan, logDir, TextWriter.Synchronized(shell.Err));
        try
        {
            cluster.Start();
            if (await cluster.WaitReadyAsync(ready, shell.Stop) is { } problem)
            {
                await shell.Err.WriteLineAsync($"flotilla dev: {problem}");
                return ExitCode.Failed;
            }

            Greet(shell, plan, cluster, dataDir, Stopwatch.GetElapsedTime(started));
            return await cluster.WatchAsync(shell.Stop) ? ExitCode.Done : ExitCode.Failed;
        }
        catch (OperationCanceledException) when (shell.Stop.IsCancellationRequested)
        {
            return ExitCode.Done;
        }
        finally
        {
            await cluster.StopAsync();
            await shell.Err.WriteLineAsync($"All processes have ended. The data is kept in {dataDir}.");
        }
    }

    private static void Greet(Shell shell, IReadOnlyList<DevProcess> plan, DevCluster cluster, string dataDir, TimeSpan took)
    {
        var to = shell.Out;
        to.WriteLine(string.Create(CultureInfo.InvariantCulture, $"Flotilla is ready after {took.TotalSeconds:0.0} s."));
        to.WriteLine();
        foreach (var process in plan)
        {
            to.WriteLine($"  {process.Name,-8} http://{process.Http}   pid {cluster.PidOf(process)}");
        }

        var router = plan[^1].Http;
        var standard = router.Port == 3000;
        var endpoint = standard ? "" : $" --endpoint http://{router}";
        to.WriteLine();
        to.WriteLine("Try, in another terminal:");
        to.WriteLine($"  curl -X PUT http://{router}/kv/hello -d '{{\"value\":\"world\"}}'");
        to.WriteLine($"  curl http://{router}/kv/hello");
        to.WriteLine($"  ./flotilla put hello world{endpoint}");
        to.WriteLine($"  ./flotilla get hello{endpoint}");
        to.WriteLine($"  ./flotilla status{endpoint}");
        to.WriteLine($"  ./flotilla bench{endpoint}");
        to.WriteLine();
        to.WriteLine($"Data and logs: {dataDir}. Ctrl-C stops everything and keeps the data.");
        to.Flush();
    }
}
