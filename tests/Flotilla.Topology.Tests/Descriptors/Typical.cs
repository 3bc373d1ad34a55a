using System.Globalization;
using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Gossip;

namespace Flotilla.Topology.Tests.Descriptors;

/// <summary>Shards and nodes as a real cluster has them, with three replicas each, for figures.</summary>
internal static class Typical
{
    public static NodeAddresses AddressesOf(int node) => new(
        string.Create(CultureInfo.InvariantCulture, $"10.1.{node / 250}.{node % 250}:8001"),
        string.Create(CultureInfo.InvariantCulture, $"10.1.{node / 250}.{node % 250}:50051"),
        string.Create(CultureInfo.InvariantCulture, $"10.1.{node / 250}.{node % 250}:7001"),
        RespCluster: null);

    public static string NodeOf(int node) => string.Create(CultureInfo.InvariantCulture, $"n{node}");

    public static NodeRecord Node(int node) => new(NodeOf(node), (ulong)node + 1, 1, NodeRecord.FirstRevision(1), AddressesOf(node));

    public static ShardDescriptor Shard(int shard, int nodes, Ring ring) => new()
    {
        Key = new ShardKey(new ShardId(shard), StableHash.Mix((ulong)shard)),
        Version = new DescriptorVersion(2, 1000),
        State = ShardState.Active,
        Leader = NodeOf(1 + ((shard - 1) % nodes)),
        ConfigurationIndex = 1,
        Voters = [.. Enumerable.Range(0, 3).Select(r => 1 + ((shard - 1 + r) % nodes)).Distinct()
            .Select(n => new ShardMember(NodeOf(n), AddressesOf(n))).OrderBy(m => m.Node, StringComparer.Ordinal)],
        InSync = [],
        Slots = SlotEpochs.Of(ring.SlotsOf(new ShardId(shard)), SlotEpoch.First),
        RingDigest = ring.Digest,
    };
}
