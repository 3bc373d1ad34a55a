using Flotilla.Client;
using Flotilla.Contracts;
using Flotilla.Contracts.Http;

namespace Flotilla.Cli.Status;

/// <summary>The cluster as one picture: what the node asked says of it, and what each node says of its own replicas.</summary>
internal sealed record ClusterOverview(string Asked, bool Router, string ClusterId, long TopologyAgeMs, IReadOnlyList<NodeOverview> Nodes, IReadOnlyList<ShardOverview> Shards, IReadOnlyList<string> Warnings)
{
    private static readonly TimeSpan NodePatience = TimeSpan.FromSeconds(1);

    /// <summary>Asks one endpoint for the cluster, then every node for its replicas, at once; a node that doesn't answer within a second is shown as such.</summary>
    public static async Task<DocumentResult<ClusterOverview>> CollectAsync(FlotillaClient client, CancellationToken cancel)
    {
        var status = await client.StatusAsync(cancel);
        if (status.Document is not { Nodes: not null, Shards: not null } cluster)
        {
            return new DocumentResult<ClusterOverview>(
                status.Document is null ? status.Outcome : CallOutcome.Failed, null,
                status.Error ?? new CallError("bad_answer", "/status is not what it should be: is this a Flotilla node?", 200));
        }

        var answers = await Task.WhenAll(cluster.Nodes.Select(node => AskAsync(node, cancel)));
        var replicas = answers.Where(a => a.Raft is not null)
            .SelectMany(a => a.Raft!.Shards.Select(replica => (a.Node.Id, Replica: replica))).ToLookup(r => r.Replica.Shard);
        var shards = cluster.Shards.Select(shard => Picture(shard, [.. replicas[shard.Id]])).ToList();
        var nodes = answers.Select(a => new NodeOverview(
            a.Node.Id, a.Node.Http, a.Node.Rpc, a.Node.Alive, a.Raft is not null,
            shards.Count(s => string.Equals(s.Leader, a.Node.Id, StringComparison.Ordinal)),
            a.Raft?.Shards.Count(IsMember) ?? 0, a.Raft?.Shards.Where(IsMember).Sum(s => s.Keys) ?? 0)).ToList();
        var warnings = answers.SelectMany(a => a.Raft?.Warnings ?? []).Concat(cluster.Warnings ?? []).Distinct(StringComparer.Ordinal).ToList();
        return new DocumentResult<ClusterOverview>(CallOutcome.Ok, new ClusterOverview(cluster.Node, cluster.Router, cluster.ClusterId, cluster.TopologyAgeMs, nodes, shards, warnings), null);
    }

    private static async Task<(NodeDocument Node, RaftStatusDocument? Raft)> AskAsync(NodeDocument node, CancellationToken cancel)
    {
        if (!HostPort.TryParse(node.Http, out var address, out _))
        {
            return (node, null);
        }

        using var client = new FlotillaClient(new FlotillaClientOptions { Endpoints = [address], Timeout = NodePatience, ConnectTimeout = NodePatience, ReadAttemptTimeout = NodePatience });
        var raft = await client.RaftStatusAsync(cancel);
        return (node, raft.Document is { Shards: not null } document ? document : null);
    }

    // One that was removed stays where it was, and belongs to nothing.
    private static bool IsMember(ReplicaDocument replica) => replica.Role is not "removed";

    private static ShardOverview Picture(ShardDocument shard, IReadOnlyList<(string Node, ReplicaDocument Replica)> replicas)
    {
        // What a leader says of itself is fresher than what the node asked has heard; the highest term is the newest.
        var leader = replicas.Where(r => string.Equals(r.Replica.Role, "leader", StringComparison.Ordinal)).OrderByDescending(r => r.Replica.Term).FirstOrDefault();
        var commit = replicas.Count == 0 ? 0 : replicas.Max(r => r.Replica.CommitIndex);
        var best = replicas.OrderByDescending(r => r.Replica.LastApplied).FirstOrDefault();
        return new ShardOverview(
            shard.Id, shard.State, shard.Mode,
            leader.Replica is not null && leader.Replica.Term >= shard.Term ? leader.Node : shard.Leader,
            Math.Max(shard.Term, leader.Replica?.Term ?? 0), shard.Voters ?? [], shard.Learners ?? [], shard.Slots, commit, best.Replica?.Keys ?? 0, best.Replica?.Bytes ?? 0,
            [.. replicas.Select(r => new ReplicaOverview(
                r.Node, r.Replica.Role, r.Replica.Term, r.Replica.CommitIndex, r.Replica.LastApplied, r.Replica.LastLogIndex, r.Replica.SnapshotIndex,
                commit - Math.Min(commit, r.Replica.LastApplied), r.Replica.Admitted))], shard.Moves ?? []);
    }
}

/// <summary>A node.</summary>
/// <param name="Id">Its name.</param>
/// <param name="Http">Its HTTP address.</param>
/// <param name="Rpc">Its RPC address.</param>
/// <param name="Alive">The node asked hears from it.</param>
/// <param name="Answers">It answered us.</param>
/// <param name="Leads">How many shards it leads.</param>
/// <param name="Replicas">How many replicas it hosts.</param>
/// <param name="Keys">Records in all its replicas.</param>
internal sealed record NodeOverview(string Id, string? Http, string? Rpc, bool Alive, bool Answers, int Leads, int Replicas, long Keys);

/// <summary>A shard; keys and bytes are those of the replica that has applied the most.</summary>
internal sealed record ShardOverview(
    int Id, string State, string Mode, string? Leader, ulong Term, IReadOnlyList<string> Voters, IReadOnlyList<string> Learners, int Slots, ulong CommitIndex, long Keys, long Bytes, IReadOnlyList<ReplicaOverview> Replicas, IReadOnlyList<MoveDocument> Moves)
{
    /// <summary>The voters, and the learners as <c>n4?</c>.</summary>
    public string MembersText() => string.Join(' ', Voters.Concat(Learners.Select(static l => l + "?")));

    /// <summary>The replicas that are behind, as <c>n3:12</c> (entries), and the voters that don't answer, as <c>n2:?</c>.</summary>
    public string LagText()
    {
        var parts = Replicas.Where(r => r.Lag > 0 && r.Role is not "removed").Select(r => $"{r.Node}:{r.Lag}")
            .Concat(Voters.Where(v => !Replicas.Any(r => string.Equals(r.Node, v, StringComparison.Ordinal))).Select(v => $"{v}:?"));
        return string.Join(' ', parts) is { Length: > 0 } text ? text : "0";
    }
}

/// <summary>A replica; <paramref name="Lag"/> is how many committed entries it has not applied.</summary>
internal sealed record ReplicaOverview(string Node, string Role, ulong Term, ulong CommitIndex, ulong LastApplied, ulong LastLogIndex, ulong SnapshotIndex, ulong Lag, bool Admitted);

/// <summary>One moment of <c>flotilla monitor</c>.</summary>
/// <param name="Time">When, as ISO 8601 in UTC.</param>
/// <param name="Overview">The cluster, or null if nobody answered.</param>
/// <param name="EntriesPerSecond">Entries committed per second since the moment before, by shard.</param>
/// <param name="Error">Why there is no picture.</param>
internal sealed record MonitorSample(string Time, ClusterOverview? Overview, IReadOnlyDictionary<int, double> EntriesPerSecond, string? Error);
