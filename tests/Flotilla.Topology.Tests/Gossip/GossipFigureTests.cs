using System.Globalization;
using System.Text;
using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Gossip;
using Flotilla.Topology.Tests.Descriptors;

namespace Flotilla.Topology.Tests.Gossip;

/// <summary>The figures of docs/topology.md about gossip, computed anew: whole clusters with a shard for each node.</summary>
public sealed class GossipFigureTests(ITestOutputHelper output)
{
    private const int Runs = 5;

    [Fact]
    public void The_tables_of_gossip_in_the_docs_are_what_the_simulation_gives()
    {
        var bytes = new StringBuilder("| nodes and shards | table | quiet: sent by a node each second | one change: sent by the leader | while it spreads from one node: sent by a node each second | an empty node: received until it knows all |\n|---|---|---|---|---|---|\n");
        var times = new StringBuilder("| nodes and shards | told at once, 1 in 100 lost | 1 in 10 lost | 3 in 10 lost | told to nobody, none lost | 1 in 10 lost | 3 in 10 lost | an empty node |\n|---|---|---|---|---|---|---|---|\n");
        foreach (var nodes in new[] { 3, 10, 100, 1000 })
        {
            var ring = new Ring([.. Enumerable.Range(1, nodes).Select(s => new RingMember(new ShardId(s)))]);
            ShardItem[] shards = [.. Enumerable.Range(1, nodes).Select(s => ShardItem.Of(Typical.Shard(s, nodes, ring)))];
            Row(nodes, shards, bytes, times);
        }

        output.WriteLine(bytes.ToString());
        output.WriteLine(times.ToString());
        Assert.Contains(bytes.ToString(), Page.Text, StringComparison.Ordinal);
        Assert.Contains(times.ToString(), Page.Text, StringComparison.Ordinal);
    }

    private static void Row(int nodes, ShardItem[] shards, StringBuilder bytes, StringBuilder times)
    {
        var quiet = new Fleet(nodes, shards, seed: 1);
        quiet.Round();
        var table = TableCodec.Encode(quiet.Gossipers[0].Table, 7).Length;
        var quietBytes = quiet.Bytes / nodes;

        var broadcast = new Fleet(nodes, shards, seed: 1);
        broadcast.Carry(0, broadcast.Gossipers[0].Publish(Changed(shards)));
        Assert.True(broadcast.HasConverged);

        times.Append(CultureInfo.InvariantCulture, $"| {nodes} |");
        foreach (var loss in new[] { 0.01, 0.1, 0.3 })
        {
            times.Append(CultureInfo.InvariantCulture, $" {Seconds(Enumerable.Range(1, Runs).Select(seed => Spread(nodes, shards, (ulong)seed, loss, isTold: true).Seconds))} |");
        }

        var spreading = 0L;
        foreach (var loss in new[] { 0, 0.1, 0.3 })
        {
            var runs = Enumerable.Range(1, Runs).Select(seed => Spread(nodes, shards, (ulong)seed, loss, isTold: false)).ToArray();
            spreading = Math.Max(spreading, runs.Max(r => r.Bytes / nodes / r.Seconds));
            times.Append(CultureInfo.InvariantCulture, $" {Seconds(runs.Select(r => r.Seconds))} |");
        }

        var empty = new Fleet(nodes, shards, seed: 2);
        empty.Forget(nodes - 1, known: 0);
        var before = empty.Bytes;
        empty.Carry(nodes - 1, empty.Gossipers[nodes - 1].Exchange(1, [Typical.NodeOf(1)]));
        Assert.True(empty.HasConverged);
        times.Append(" one exchange |\n");
        bytes.Append(CultureInfo.InvariantCulture, $"| {nodes} | {Size(table)} | {Size(quietBytes)} | {Size(broadcast.Bytes)} | {Size(spreading)} | {Size(empty.Bytes - before)} |\n");
    }

    // Rounds until all know of one change. If it is told to nobody, its leader knows it alone, as if it had lost its streams.
    private static (int Seconds, long Bytes) Spread(int nodes, ShardItem[] shards, ulong seed, double loss, bool isTold)
    {
        var fleet = new Fleet(nodes, shards, seed) { Loss = loss };
        var said = fleet.Gossipers[0].Publish(Changed(shards));
        if (isTold)
        {
            fleet.Carry(0, said);
        }

        var rounds = fleet.RoundsToConverge(100);
        return (Math.Max(isTold ? 0 : 1, rounds), fleet.Bytes);
    }

    private static ShardDescriptor Changed(ShardItem[] shards) =>
        shards[0].Descriptor with { Version = new DescriptorVersion(3, 2000), Leader = Typical.NodeOf(2) };

    private static string Seconds(IEnumerable<int> seconds)
    {
        var ordered = seconds.Order().ToArray();
        return ordered[0] == ordered[^1] ? string.Create(CultureInfo.InvariantCulture, $"{ordered[0]} s") : string.Create(CultureInfo.InvariantCulture, $"{ordered[ordered.Length / 2]} (at most {ordered[^1]}) s");
    }

    private static string Size(long bytes) =>
        bytes < 1000 ? string.Create(CultureInfo.InvariantCulture, $"{bytes} B")
        : bytes < 1_000_000 ? string.Create(CultureInfo.InvariantCulture, $"{bytes / 1000.0:0.0} KB")
        : string.Create(CultureInfo.InvariantCulture, $"{bytes / 1_000_000.0:0.0} MB");
}
