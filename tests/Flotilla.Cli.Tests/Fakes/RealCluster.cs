using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Flotilla.Contracts;
using Flotilla.Node;
using Flotilla.Raft;
using Flotilla.Server;
using Flotilla.Shards;
using Flotilla.Storage;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flotilla.Cli.Tests.Fakes;

/// <summary>Real nodes in this process, on free loopback ports.</summary>
internal sealed class RealCluster : IAsyncDisposable
{
    private readonly string _root = Terminal.TempDir();
    private readonly List<NodeHost> _nodes = [];

    public IReadOnlyList<NodeHost> Nodes => _nodes;

    public Env Env => new() { ["FLOTILLA_ENDPOINT"] = string.Join(',', _nodes.Select(n => n.Http.ToString())), ["FLOTILLA_TIMEOUT"] = "30s" };

    public static async Task<RealCluster> StartAsync(int nodes, int shards, int replicas = 3)
    {
        var cluster = new RealCluster();
        var ports = FreePorts(nodes);
        var members = ports.Select((port, i) => new ClusterMember(new NodeId($"n{i + 1}"), $"127.0.0.1:{port}")).ToArray();
        for (var i = 0; i < nodes; i++)
        {
            cluster._nodes.Add(await NodeHost.StartAsync(
                new NodeOptions
                {
                    NodeId = members[i].Node,
                    Http = new HostPort("127.0.0.1", 0),
                    Rpc = new HostPort("127.0.0.1", ports[i]),
                    DataDir = Path.Combine(cluster._root, i.ToString(CultureInfo.InvariantCulture)),
                    InitialCluster = members,
                    Shards = shards,
                    Replicas = Math.Min(replicas, nodes),
                    Wal = new WalOptions { SegmentBytes = 4 << 20 },
                },
                NullLoggerFactory.Instance,
                TestContext.Current.CancellationToken));
        }

        return cluster;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var node in _nodes)
        {
            await node.AbortAsync();
        }

        Directory.Delete(_root, recursive: true);
    }

    // Below those that the system gives to outgoing connections.
    private static int[] FreePorts(int count)
    {
        var ports = new HashSet<int>();
        while (ports.Count < count)
        {
            var port = Random.Shared.Next(10_000, 32_000);
            using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                socket.Bind(new IPEndPoint(IPAddress.Loopback, port));
                ports.Add(port);
            }
            catch (SocketException)
            {
                // Somebody listens there: another one.
            }
        }

        return [.. ports];
    }
}
