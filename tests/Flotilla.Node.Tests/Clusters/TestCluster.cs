using System.Net;
using System.Net.Sockets;
using System.Text;
using Flotilla.Contracts;
using Flotilla.Raft;
using Flotilla.Server;
using Flotilla.Shards;
using Flotilla.Storage;
using Flotilla.Storage.Disk;
using Flotilla.Topology;

namespace Flotilla.Node.Tests.Clusters;

/// <summary>Real nodes in this process, on free loopback ports, each with a directory of its own.</summary>
internal sealed class TestCluster : IAsyncDisposable
{
    private static int _lastPort = Random.Shared.Next(12_000);

    private readonly string _root = Directory.CreateTempSubdirectory("flotilla-node-").FullName;
    private NodeOptions[] _options;
    private NodeHost?[] _hosts;

    private TestCluster(NodeOptions[] options)
    {
        _options = options;
        _hosts = new NodeHost?[options.Length];
    }

    public int Count => _options.Length;

    /// <summary>What the nodes logged.</summary>
    public TestLog Log { get; } = new();

    public NodeHost this[int node] => _hosts[node] ?? throw new InvalidOperationException($"Node {node} does not run.");

    public IEnumerable<int> Running => Enumerable.Range(0, Count).Where(i => _hosts[i] is not null);

    public static TestCluster Make(int nodes, int shards = 3, int replicas = 3, Func<NodeOptions, NodeOptions>? change = null)
    {
        var ports = FreePorts(nodes * 2);
        var members = Enumerable.Range(0, nodes).Select(i => new ClusterMember(Id(i), $"127.0.0.1:{ports[i]}")).ToArray();
        var options = new NodeOptions[nodes];
        var cluster = new TestCluster(options);
        for (var i = 0; i < nodes; i++)
        {
            options[i] = new NodeOptions
            {
                NodeId = Id(i),
                Http = new HostPort("127.0.0.1", ports[nodes + i]),
                Rpc = new HostPort("127.0.0.1", ports[i]),
                DataDir = Path.Combine(cluster._root, Id(i).Value),
                InitialCluster = members,
                Shards = shards,
                Replicas = replicas,
                Wal = new WalOptions { SegmentBytes = 4 << 20 },
            };
            options[i] = change?.Invoke(options[i]) ?? options[i];
        }

        return cluster;
    }

    public static async Task<TestCluster> StartAsync(int nodes, int shards = 3, int replicas = 3, Func<NodeOptions, NodeOptions>? change = null)
    {
        var cluster = Make(nodes, shards, replicas, change);
        for (var i = 0; i < nodes; i++)
        {
            await cluster.StartNodeAsync(i);
        }

        await cluster.LeadersAsync();
        await cluster.VotersAsync();
        return cluster;
    }

    public static NodeId Id(int node) => new($"n{node + 1}");

    public NodeOptions OptionsOf(int node) => _options[node];

    public void Change(int node, Func<NodeOptions, NodeOptions> change) => _options[node] = change(_options[node]);

    public async Task StartNodeAsync(int node, Func<IDisk, IDisk>? wrapDisk = null) =>
        _hosts[node] = await NodeHost.StartAsync(_options[node], Log, wrapDisk, TestContext.Current.CancellationToken);

    /// <summary>Makes another node, which is to enter the cluster by way of a running one. Returns its index; it does not run yet.</summary>
    public int Add(int? contact, Func<NodeOptions, NodeOptions>? change = null)
    {
        var node = Count;
        var ports = FreePorts(2);
        var options = new NodeOptions
        {
            NodeId = Id(node),
            Http = new HostPort("127.0.0.1", ports[1]),
            Rpc = new HostPort("127.0.0.1", ports[0]),
            DataDir = Path.Combine(_root, Id(node).Value),
            InitialCluster = [],
            Join = contact is { } member ? _options[member].Rpc : null,
            Wal = new WalOptions { SegmentBytes = 4 << 20 },
        };
        _options = [.. _options, change?.Invoke(options) ?? options];
        Array.Resize(ref _hosts, Count);
        return node;
    }

    /// <summary>Makes another node, which waits until it is added. Returns its index; it does not run yet.</summary>
    public int AddWaiting() => Add(contact: null);

    /// <summary>Ends a node as a crash would.</summary>
    public async Task KillAsync(int node)
    {
        await this[node].AbortAsync();
        _hosts[node] = null;
    }

    /// <summary>Ends a node in good order.</summary>
    public async Task StopAsync(int node)
    {
        await this[node].StopAsync();
        _hosts[node] = null;
    }

    /// <summary>The index of the node that leads a shard, by the word of that node itself.</summary>
    public int LeaderOf(ShardId shard)
    {
        foreach (var i in Running)
        {
            if (this[i].Gateway.View.Local.Any(r => r.Shard == shard && r.Role == Role.Leader))
            {
                return i;
            }
        }

        return -1;
    }

    /// <summary>Waits until a node leads a shard by its own word: on a starved machine another may have to be elected at any moment.</summary>
    public async Task<int> LeaderAsync(ShardId shard)
    {
        var leader = -1;
        await Eventually.IsTrueAsync(() => (leader = LeaderOf(shard)) >= 0, $"some node leads shard {shard}");
        return leader;
    }

    /// <summary>Waits until every running node knows a living leader of every shard.</summary>
    public Task LeadersAsync() => Eventually.IsTrueAsync(
        () => Running.All(i => this[i].Gateway.View.Shards.All(s => !s.Leader.IsNone && Running.Any(r => Id(r) == s.Leader))), "every shard has a leader that all know");

    /// <summary>
    /// Waits until every replica of every running node takes part. Who begins empty does only once enough of the others have said
    /// that they are empty too, and can't if one of those is killed before.
    /// </summary>
    public Task VotersAsync() => Eventually.IsTrueAsync(
        () => Running.All(i => this[i].Gateway.View.Local.All(r => r is { Admitted: true, Awaited: null or [] })), "every voter may vote");

    public async ValueTask DisposeAsync()
    {
        foreach (var host in _hosts)
        {
            if (host is not null)
            {
                await host.AbortAsync();
            }
        }

        Directory.Delete(_root, recursive: true);
    }

    /// <summary>
    /// Ports that nobody listens on, below those that the system gives to outgoing connections (from 32768 on): one of these
    /// might be taken by any connection of any test before its node listens, or while its node is down.
    /// </summary>
    private static int[] FreePorts(int count)
    {
        var ports = new int[count];
        for (var i = 0; i < count;)
        {
            // Each is given once in this process; where to begin is left to chance, for the sake of other processes.
            var port = 20_000 + (int)((uint)Interlocked.Increment(ref _lastPort) % 12_000);
            using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                socket.Bind(new IPEndPoint(IPAddress.Loopback, port));
                ports[i++] = port;
            }
            catch (SocketException)
            {
                // Somebody listens there: the next one.
            }
        }

        return ports;
    }
}

/// <summary>Short ways to call a gateway with text.</summary>
internal static class GatewayText
{
    public static ReadOnlyMemory<byte> Bytes(string text) => Encoding.UTF8.GetBytes(text);

    public static string Text(ReadOnlyMemory<byte> bytes) => Encoding.UTF8.GetString(bytes.Span);

    public static ValueTask<Answer> PutAsync(this IGateway gateway, string key, string value, CallOptions? options = null) =>
        gateway.ExecuteAsync(Command.Put(Bytes(key), Bytes(value)), options ?? CallOptions.Default);

    public static async Task<string?> ReadAsync(this IGateway gateway, string key, CallOptions? options = null)
    {
        var answer = await gateway.GetAsync(Bytes(key), options ?? CallOptions.Default);
        return answer.Result.Code switch
        {
            ResultCode.Ok => Text(answer.Result.Value),
            ResultCode.NotFound => null,
            _ => throw new InvalidOperationException($"get {key}: {answer.Result.Code} {answer.Detail}"),
        };
    }

    /// <summary>Reads until there is an answer: a shard may have no leader for a moment, and on a starved machine for longer.</summary>
    public static async Task<string?> ReadSurelyAsync(this IGateway gateway, string key)
    {
        var deadline = DateTime.UtcNow.AddSeconds(60);
        while (true)
        {
            var answer = await gateway.GetAsync(Bytes(key), CallOptions.Default);
            if (answer.Result.Code is ResultCode.Ok or ResultCode.NotFound)
            {
                return answer.Result.Code == ResultCode.Ok ? Text(answer.Result.Value) : null;
            }

            Assert.True(DateTime.UtcNow < deadline, $"get {key}: {answer.Result.Code} {answer.Detail}");
        }
    }

    /// <summary>Puts until it is certain that it was done, as a client would that may write twice.</summary>
    public static async Task PutSurelyAsync(this IGateway gateway, string key, string value)
    {
        var deadline = DateTime.UtcNow.AddSeconds(120);
        while (true)
        {
            var answer = await gateway.PutAsync(key, value);
            if (answer.Result.Code == ResultCode.Ok)
            {
                return;
            }

            Assert.True(DateTime.UtcNow < deadline, $"put {key}: {answer.Result.Code} {answer.Detail}");
        }
    }
}
