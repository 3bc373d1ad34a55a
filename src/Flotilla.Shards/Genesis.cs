using System.Text;
using Flotilla.Raft;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Shards;

/// <summary>A node as <c>--initial-cluster</c> names it. The address is <c>HOST:PORT</c> of its RPC listener.</summary>
public readonly record struct ClusterMember(NodeId Node, string Rpc);

/// <summary>
/// How a cluster begins: shards, replicas and first slots as a pure function of the start flags, so that every node
/// computes the same; and their hash, the cluster id, which every message carries.
/// </summary>
/// <remarks>
/// A node that begins a cluster by itself asks nobody whether it may. If it lost its disk and were started by the same command,
/// it would begin the same groups again, in the same terms, beside those who hold what the first ones decided (hazard 17). So
/// it draws a nonce at its first start, which goes into the cluster id and with it into every group id: what it begins a second
/// time is another cluster, with which no node of the first one speaks. Several nodes that begin together can't agree on a
/// nonce, and need none: they ask each other (<c>Admission</c>).
/// </remarks>
/// <param name="ClusterId">Never 0.</param>
/// <param name="Members">Ordered by node id.</param>
/// <param name="Shards">Ordered by number.</param>
public sealed record Genesis(ulong ClusterId, IReadOnlyList<ClusterMember> Members, IReadOnlyList<ShardGenesis> Shards)
{
    /// <summary>The most shards that a cluster may begin with.</summary>
    public const int MaxShards = 1000;

    private const int MaxNodeIdLength = 64;
    private const ulong ClusterSeed = 4; // Raised if the rules below ever change, so that old and new never mix.
    private const ulong GroupSeed = 2;
    private const ulong LateGroupSeed = 5;

    /// <summary>Computes the genesis. Throws <see cref="GenesisException"/> with a message for the operator when the flags make no sense.</summary>
    /// <param name="members">The initial nodes, any order, at least one, ids distinct.</param>
    /// <param name="shards">How many shards, 1 to 1000.</param>
    /// <param name="replicas">The replica target; a cluster with fewer nodes gets as many as it has.</param>
    /// <param name="nonce">What a single initial node drew at its first start; 0 for several, and for a cluster from before there were nonces.</param>
    /// <param name="mode">How its shards replicate at first; one of the log family.</param>
    public static Genesis Compute(IReadOnlyList<ClusterMember> members, int shards, int replicas, ulong nonce = 0, ShardMode mode = ShardMode.Raft)
    {
        ArgumentNullException.ThrowIfNull(members);
        Check(members, shards, replicas);
        if (mode is not (ShardMode.Raft or ShardMode.Sync or ShardMode.Chain))
        {
            throw new GenesisException($"A cluster begins in mode raft, sync or chain, not in {ShardModes.NameOf(mode)}: switch it once it runs.");
        }

        if (nonce != 0 && members.Count != 1)
        {
            throw new GenesisException($"A cluster that {members.Count} nodes begin together has no nonce: they could not have agreed on it.");
        }

        ClusterMember[] sorted = [.. members.OrderBy(m => m.Node)];
        var clusterId = ClusterIdOf(sorted, shards, replicas, nonce, mode);
        var ring = new Ring([.. Enumerable.Range(1, shards).Select(s => new RingMember(new ShardId(s)))]);
        var slots = SlotsByShard(ring, shards);
        var made = new ShardGenesis[shards];
        for (var s = 1; s <= shards; s++)
        {
            made[s - 1] = new ShardGenesis(new ShardId(s), GroupOf(clusterId, new ShardId(s)), VotersOf(s, sorted, replicas), slots[s - 1]) { Mode = mode };
        }

        return new Genesis(clusterId, sorted, made);
    }

    /// <summary>The group of a shard of this cluster. Never 0.</summary>
    public static GroupId GroupOf(ulong clusterId, ShardId shard)
    {
        var hash = new StableHash(GroupSeed);
        hash.Add(clusterId);
        hash.Add((ulong)shard.Value);
        return new GroupId(hash.Value == 0 ? 1 : hash.Value);
    }

    /// <summary>
    /// The group of a shard that is born after genesis: a function of the data directory where it is born too, so that two births
    /// under one number at two nodes are two groups, of which people are told, and never one with two beginnings. Never 0.
    /// </summary>
    public static GroupId GroupOf(ulong clusterId, ShardId shard, Incarnation birthplace)
    {
        var hash = new StableHash(LateGroupSeed);
        hash.Add(clusterId);
        hash.Add((ulong)shard.Value);
        hash.Add(birthplace.Value);
        return new GroupId(hash.Value == 0 ? 1 : hash.Value);
    }

    // The target itself is hashed, not what becomes of it: a cluster started with other flags is another cluster, even
    // if it would look the same on its first day.
    private static ulong ClusterIdOf(ClusterMember[] sorted, int shards, int replicas, ulong nonce, ShardMode mode)
    {
        var hash = new StableHash(ClusterSeed);
        hash.Add((ulong)sorted.Length);
        foreach (var (node, rpc) in sorted)
        {
            hash.Add(Encoding.UTF8.GetBytes(node.Value));
            hash.Add(Encoding.UTF8.GetBytes(rpc));
        }

        hash.Add((ulong)shards);
        hash.Add((ulong)replicas);
        if (nonce != 0)
        {
            // Without one nothing is added, so that clusters from before there were nonces stay what they are.
            hash.Add(nonce);
        }

        if (mode != ShardMode.Raft)
        {
            // Replicas that began in different modes would have different states; likewise nothing is added for the first mode there was.
            hash.Add(Encoding.UTF8.GetBytes("mode=" + ShardModes.NameOf(mode)));
        }

        return hash.Value == 0 ? 1 : hash.Value;
    }

    // First voters go round the nodes, so that leaders are balanced. The others follow them round, beginning one further
    // at each full round: then every node has equally many replicas per round, and the shards that one node leads have
    // different second voters, so that its failure doesn't burden a single neighbour.
    private static NodeId[] VotersOf(int shard, ClusterMember[] nodes, int replicas)
    {
        var first = (shard - 1) % nodes.Length;
        var round = (shard - 1) / nodes.Length;
        var voters = new NodeId[Math.Min(replicas, nodes.Length)];
        voters[0] = nodes[first].Node;
        for (var k = 1; k < voters.Length; k++)
        {
            var distance = 1 + ((round + k - 1) % (nodes.Length - 1));
            voters[k] = nodes[(first + distance) % nodes.Length].Node;
        }

        return voters;
    }

    private static List<Slot>[] SlotsByShard(Ring ring, int shards)
    {
        var slots = new List<Slot>[shards];
        for (var i = 0; i < shards; i++)
        {
            slots[i] = [];
        }

        for (var i = 0; i < Slot.Count; i++)
        {
            var slot = new Slot((ushort)i);
            slots[ring.Owner(slot).Value - 1].Add(slot);
        }

        return slots;
    }

    private static void Check(IReadOnlyList<ClusterMember> members, int shards, int replicas)
    {
        if (members.Count == 0)
        {
            throw new GenesisException("The initial cluster names no node. Give it as ID=HOST:PORT, separated by commas.");
        }

        if (shards is < 1 or > MaxShards)
        {
            throw new GenesisException($"A cluster begins with 1 to {MaxShards} shards, not with {shards}.");
        }

        if (replicas < 1)
        {
            throw new GenesisException($"A shard needs at least 1 replica, not {replicas}.");
        }

        var ids = new HashSet<NodeId>();
        var addresses = new Dictionary<string, NodeId>(StringComparer.OrdinalIgnoreCase);
        foreach (var (node, rpc) in members)
        {
            if (!IsNodeId(node.Value))
            {
                throw new GenesisException($"'{node}' can't name a node: use 1 to {MaxNodeIdLength} visible ASCII characters other than , = / and quotes.");
            }

            if (!IsAddress(rpc))
            {
                throw new GenesisException($"Node {node}: '{rpc}' is no address. Give HOST:PORT with a port from 1 to 65535; an IPv6 host stands in brackets.");
            }

            if (!ids.Add(node))
            {
                throw new GenesisException($"The initial cluster names node {node} twice.");
            }

            if (!addresses.TryAdd(rpc, node))
            {
                throw new GenesisException($"Nodes {addresses[rpc]} and {node} have the same address {rpc}.");
            }
        }
    }

    /// <summary>Whether this can name a node: 1 to 64 visible ASCII characters other than comma, equals sign, slash and quotes.</summary>
    public static bool IsNodeId(string? id)
    {
        if (id is null || id.Length is 0 or > MaxNodeIdLength)
        {
            return false;
        }

        foreach (var c in id)
        {
            if (c is <= ' ' or > '~' or ',' or '=' or '/' or '"' or '\'')
            {
                return false;
            }
        }

        return true;
    }

    private static bool IsAddress(string? address)
    {
        if (address is null || address.Length > 300)
        {
            return false;
        }

        var colon = address.LastIndexOf(':');
        if (colon < 1)
        {
            return false;
        }

        var host = address.AsSpan(0, colon);
        var bracketed = host[0] == '[' && host[^1] == ']' && host.Length > 2;
        if (!bracketed && host.ContainsAny(":[]"))
        {
            return false;
        }

        foreach (var c in host)
        {
            if (c is <= ' ' or > '~' or ',' or '=' or '/' or '@')
            {
                return false;
            }
        }

        var port = address.AsSpan(colon + 1);
        return ushort.TryParse(port, System.Globalization.NumberStyles.None, null, out var number) && number > 0;
    }
}

/// <summary>The start flags make no sense. The message is for the operator and needs nothing added.</summary>
public sealed class GenesisException(string message) : ArgumentException(message);
