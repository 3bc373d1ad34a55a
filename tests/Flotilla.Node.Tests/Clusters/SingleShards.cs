using Flotilla.Contracts;
using Flotilla.Shards;
using Flotilla.Topology;

namespace Flotilla.Node.Tests.Clusters;

/// <summary>Processes of one shard each, as <c>flotilla shard</c> starts them, in this process.</summary>
internal sealed class SingleShards : IAsyncDisposable
{
    private readonly Dictionary<(int Shard, int Number), int> _places = [];
    private readonly List<Task> _starting = [];

    /// <summary>The nodes.</summary>
    public TestCluster Nodes { get; } = TestCluster.Make(0);

    /// <summary>Makes a node, which does not run yet.</summary>
    public void Make(int shard, int number, Func<NodeOptions, NodeOptions>? change = null)
    {
        var single = new SingleShard(new ShardId(shard), number, []);
        _places[(shard, number)] = Nodes.Add(contact: null, o =>
        {
            var options = o with
            {
                NodeId = single.Name,
                Single = single,
                Shards = 1,
                DataDir = Path.Combine(Path.GetDirectoryName(o.DataDir)!, $"unified_{single.Name}"),
                InitialCluster = single.IsFirst && shard == 1 ? [new ClusterMember(single.Name, o.Rpc.ToString())] : [],
            };
            return change?.Invoke(options) ?? options;
        });
    }

    /// <summary>Makes the first nodes of shards 1 to <paramref name="shards"/>, each with all the others as its peers.</summary>
    public void MakeFirst(int shards)
    {
        for (var shard = 1; shard <= shards; shard++)
        {
            Make(shard, 1);
        }

        var http = Enumerable.Range(1, shards).Select(shard => OptionsOf(shard).Http).ToArray();
        for (var shard = 1; shard <= shards; shard++)
        {
            Peers(shard, [.. http.Where(peer => peer != OptionsOf(shard).Http)]);
        }
    }

    public void Peers(int shard, params HostPort[] peers) => Nodes.Change(Place(shard), o => o with { Single = o.Single! with { Peers = peers } });

    public int Place(int shard, int number = 1) => _places[(shard, number)];

    public NodeOptions OptionsOf(int shard, int number = 1) => Nodes.OptionsOf(Place(shard, number));

    public Server.NodeHost this[int shard, int number = 1] => Nodes[Place(shard, number)];

    /// <summary>Starts a node; the task ends once it belongs to a cluster.</summary>
    public Task Start(int shard, int number = 1)
    {
        var starting = Nodes.StartNodeAsync(Place(shard, number));
        _starting.Add(starting);
        return starting;
    }

    /// <summary>Ends a node as a crash would, and loses its directory.</summary>
    public async Task WipeAsync(int shard, int number = 1)
    {
        await Nodes.KillAsync(Place(shard, number));
        Directory.Delete(OptionsOf(shard, number).DataDir, recursive: true);
    }

    /// <summary>Waits until every running node sees these shards alone, active, each with the share that the ring gives it.</summary>
    public async Task SettledAsync(params int[] shards)
    {
        var ring = new Ring([.. shards.Select(s => new RingMember(new ShardId(s)))]);
        await Eventually.IsTrueAsync(
            () => Nodes.Running.All(i => Nodes[i].Gateway.View.Shards.Select(s => (s.Shard.Value, s.State, s.Ranges.Sum(r => r.Last - r.First + 1)))
                .SequenceEqual(shards.Select(s => (s, "active", ring.SlotsOf(new ShardId(s)).Count)))),
            $"shards {string.Join(", ", shards)} have their shares", seconds: 90);
    }

    public ValueTask DisposeAsync() => Nodes.DisposeAsync();
}
