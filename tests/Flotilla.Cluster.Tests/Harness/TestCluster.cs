using System.Diagnostics;
using Flotilla.Client;
using Flotilla.Contracts;
using Flotilla.Contracts.Http;

namespace Flotilla.Cluster.Tests.Harness;

/// <summary>Three nodes as three processes, on ports and folders of their own.</summary>
internal sealed class TestCluster : IAsyncDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("flotilla-cluster-").FullName;
    private readonly string _members;
    private readonly string[] _extra;
    private readonly List<TestNode> _nodes;
    private readonly List<TestNode> _routers = [];
    private readonly Dictionary<TestNode, SmallDisk> _disks = [];

    private TestCluster(int nodes, string[] extra)
    {
        _extra = extra;
        _nodes = [.. Enumerable.Range(1, nodes).Select(i => new TestNode($"n{i}", Ports.Next(), Ports.Next()))];
        _members = string.Join(',', Nodes.Select(n => $"{n.Id}=127.0.0.1:{n.RpcPort}"));
    }

    public IReadOnlyList<TestNode> Nodes => _nodes;

    public IReadOnlyList<HostPort> Endpoints => [.. Nodes.Select(n => new HostPort("127.0.0.1", n.HttpPort))];

    /// <summary>Starts a cluster and waits until every node is ready.</summary>
    public static Task<TestCluster> StartAsync(int nodes = 3, params string[] extra) => StartAsync(new TestCluster(nodes, extra));

    /// <summary>The same with every data directory on a disk of so many MiB.</summary>
    public static Task<TestCluster> StartAsync(int nodes, int diskMiB, string[] extra)
    {
        var cluster = new TestCluster(nodes, extra);
        foreach (var node in cluster.Nodes)
        {
            cluster._disks.Add(node, new SmallDisk(cluster.DataDir(node), diskMiB));
        }

        return StartAsync(cluster);
    }

    private static async Task<TestCluster> StartAsync(TestCluster cluster)
    {
        try
        {
            foreach (var node in cluster.Nodes)
            {
                cluster.Start(node);
            }

            foreach (var node in cluster.Nodes)
            {
                await ReadyAsync(node);
            }

            return cluster;
        }
        catch
        {
            // Nobody else would end its processes.
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts a node's process, optionally under another program (<c>strace …</c>).</summary>
    public void Start(TestNode node, params string[] under)
    {
        string[] args =
        [
            .. under, .. _disks.TryGetValue(node, out var disk) ? disk.Under : [], "dotnet", Shell.Cli, "node", "--node-id", node.Id, "--http", $"127.0.0.1:{node.HttpPort}", "--rpc", $"127.0.0.1:{node.RpcPort}",
            "--data-dir", DataDir(node), "--initial-cluster", _members, .. _extra,
        ];
        Run(node, args);
    }

    private static void Run(TestNode node, string[] args)
    {
        var process = Shell.Start(args[0], args[1..]);
        process.OutputDataReceived += (_, e) => node.Say(e.Data);
        process.ErrorDataReceived += (_, e) => node.Say(e.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        node.Process = process;
    }

    /// <summary>Starts another node, which enters the cluster by way of one that runs.</summary>
    public TestNode Join(TestNode contact)
    {
        var node = new TestNode($"n{_nodes.Count + 1}", Ports.Next(), Ports.Next());
        _nodes.Add(node);
        Run(node,
        [
            "dotnet", Shell.Cli, "node", "--node-id", node.Id, "--http", $"127.0.0.1:{node.HttpPort}", "--rpc", $"127.0.0.1:{node.RpcPort}",
            "--data-dir", DataDir(node), "--join", $"127.0.0.1:{contact.RpcPort}",
        ]);
        return node;
    }

    /// <summary>Starts a router, and waits until it serves.</summary>
    public async Task<HostPort> StartRouterAsync()
    {
        var router = new TestNode($"router-{_routers.Count + 1}", Ports.Next(), 0);
        _routers.Add(router);
        Run(router, ["dotnet", Shell.Cli, "router", "--listen", $"127.0.0.1:{router.HttpPort}", "--nodes", string.Join(',', Endpoints)]);
        await ReadyAsync(router);
        return new HostPort("127.0.0.1", router.HttpPort);
    }

    /// <summary>Starts another node, which waits until it is added.</summary>
    public TestNode Wait()
    {
        var node = new TestNode($"n{_nodes.Count + 1}", Ports.Next(), Ports.Next());
        _nodes.Add(node);
        StartWaiting(node);
        return node;
    }

    /// <summary>Starts a node's process as one that waits until it is added, or that was added since.</summary>
    public void StartWaiting(TestNode node) => Run(node,
    [
        "dotnet", Shell.Cli, "node", "--node-id", node.Id, "--http", $"127.0.0.1:{node.HttpPort}", "--rpc", $"127.0.0.1:{node.RpcPort}",
        "--data-dir", DataDir(node), "--join", "wait",
    ]);

    /// <summary>Runs a command of the command line against one node, or any that runs.</summary>
    public (int ExitCode, string Output, string Error) Flotilla(params string[] args) =>
        Shell.Flotilla([.. args, "--endpoint", string.Join(',', _nodes.Where(n => n.IsRunning).Select(n => $"127.0.0.1:{n.HttpPort}"))]);

    /// <summary>Waits until these nodes, and no others, vote in every shard, as each of them says itself.</summary>
    public static Task VotersAsync(params TestNode[] voters) => Shell.EventuallyAsync(
        async () =>
        {
            var ids = voters.Select(v => v.Id).Order(StringComparer.Ordinal).ToArray();
            var all = await Task.WhenAll(voters.Select(StatusAsync));
            return all.All(a => a is { Shards.Count: > 0 } && a.Shards.All(s => s.Admitted && s.Role is "leader" or "follower" && s.Learners.Count == 0 && s.Voters.SequenceEqual(ids, StringComparer.Ordinal)));
        },
        $"{string.Join(", ", voters.Select(v => v.Id))} vote in every shard",
        TimeSpan.FromSeconds(60));

    /// <summary>Leaves so much of a node's small disk.</summary>
    public void FillDisk(TestNode node, int leaveMiB) => _disks[node].Fill(leaveMiB);

    /// <summary>Takes away what <see cref="FillDisk"/> put there.</summary>
    public void FreeDisk(TestNode node) => _disks[node].Free();

    /// <summary>MiB free on a node's small disk.</summary>
    public int FreeMiB(TestNode node) => _disks[node].FreeMiB;

    public string DataDir(TestNode node) => Path.Combine(_folder, node.Id);

    public static async Task ReadyAsync(TestNode node)
    {
        using var client = new FlotillaClient(new FlotillaClientOptions { Endpoints = [new HostPort("127.0.0.1", node.HttpPort)], Timeout = TimeSpan.FromSeconds(1) });
        var watch = Stopwatch.StartNew();
        while (!await client.IsReadyAsync())
        {
            if (node.Process!.HasExited || watch.Elapsed > TimeSpan.FromSeconds(180))
            {
                throw new InvalidOperationException($"{node.Id} did not become ready (exited: {node.Process.HasExited}); it said:\n{node.Said}");
            }

            await Pause.ShortAsync();
        }
    }

    /// <summary>What one node says of its replicas.</summary>
    public static async Task<RaftStatusDocument?> StatusAsync(TestNode node)
    {
        using var client = new FlotillaClient(new FlotillaClientOptions { Endpoints = [new HostPort("127.0.0.1", node.HttpPort)], Timeout = TimeSpan.FromSeconds(2) });
        return (await client.RaftStatusAsync()).Document;
    }

    public async Task<ConfigDocument> ConfigAsync()
    {
        using var client = new FlotillaClient(new FlotillaClientOptions { Endpoints = Endpoints, Timeout = TimeSpan.FromSeconds(60), ReadAttemptTimeout = TimeSpan.FromSeconds(5) });
        return (await client.ConfigAsync()).Document ?? throw new InvalidOperationException("no node answers /config");
    }

    /// <summary>The node that leads a shard, once all agree.</summary>
    public async Task<TestNode> LeaderAsync(int shard)
    {
        TestNode? leader = null;
        await Shell.EventuallyAsync(
            async () =>
            {
                var id = (await ConfigAsync()).Shards.SingleOrDefault(s => s.Id == shard)?.Leader;
                leader = Nodes.SingleOrDefault(n => n.Id == id && n.IsRunning);
                return leader is not null;
            },
            $"shard {shard} has a leader");
        return leader!;
    }

    /// <summary>Waits until all replicas of all shards have applied the same index.</summary>
    public Task ConvergedAsync() => Shell.EventuallyAsync(
        async () =>
        {
            var running = Nodes.Where(n => n.IsRunning).ToArray();
            var all = await Task.WhenAll(running.Select(StatusAsync));
            return all.All(a => a is not null)
                && all.SelectMany(a => a!.Shards).Where(s => s.Role is not "removed").GroupBy(s => s.Shard).All(g =>
                    g.Count() == g.First().Voters.Count && g.Select(s => (s.LastApplied, s.Keys, s.Bytes)).Distinct().Count() == 1);
        },
        "all replicas have applied the same",
        TimeSpan.FromSeconds(60));

    public async ValueTask DisposeAsync()
    {
        foreach (var node in _routers.Concat(Nodes))
        {
            await node.KillAsync();
        }

        foreach (var disk in _disks.Values)
        {
            disk.Dispose();
        }

        Directory.Delete(_folder, recursive: true);
    }
}
