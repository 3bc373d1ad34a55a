using Flotilla.Contracts;
using Flotilla.Node.Cluster;
using Flotilla.Node.Peers;
using Flotilla.Raft;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Members;

/// <summary>
/// Follows operators' wishes from any process: finds each shard's leader, asks it, and asks again until it is done. Since every
/// wish is idempotent, a lost answer and a leader that moves cost nothing but another question.
/// </summary>
/// <param name="cluster">What is known here.</param>
/// <param name="transport">The way to the leaders.</param>
/// <param name="here">Serves wishes at replicas of this process; null for a router.</param>
internal sealed class ClusterChanges(ClusterState cluster, PeerTransport transport, ChangeServer? here) : IClusterChanges
{
    /// <summary>So many shards are changed side by side: each addition copies a shard.</summary>
    private const int AtOnce = 4;

    private const double PollMs = 50;
    private const double MaxPollMs = 500;

    /// <summary>What may pass by itself is waited for this long before it is a refusal.</summary>
    private const double RefusalPatienceMs = 2_000;

    private readonly ShardBirths _births = new(cluster, transport, here);
    private static readonly TimeSpan AnswerPatience = TimeSpan.FromSeconds(1);

    /// <inheritdoc/>
    public async Task<ChangeAnswer> AddNodeAsync(NodeId node, HostPort? address, ShardChoice shards, TimeSpan patience)
    {
        if (address is null && !cluster.Nodes.ContainsKey(node))
        {
            return new ChangeAnswer(ChangeCode.Unknown, [], $"No node {node} is known: give its RPC address.");
        }

        var change = new ShardChange(ChangeKind.AddMember, node, address?.ToString());
        return await ForEachAsync(shards, patience, (route, deadline) => FollowAsync(route, change, deadline));
    }

    /// <inheritdoc/>
    public async Task<ChangeAnswer> RemoveNodeAsync(NodeId node, ShardChoice shards, TimeSpan patience)
    {
        var isKnown = cluster.Nodes.ContainsKey(node) || cluster.Table.Shards.Any(r => r.Members.Contains(node) || r.Members.Removed.Any(seat => seat.Id == node));
        if (!isKnown)
        {
            return new ChangeAnswer(ChangeCode.Unknown, [], $"No node {node} is known, and no shard has it as a member.");
        }

        return await ForEachAsync(shards with { HostedOnly = false }, patience, async (route, deadline) =>
        {
            // The data directory is named: if the node is given a seat again meanwhile, with an empty one, that stays.
            var (seen, detail) = await FollowAsync(route, new ShardChange(ChangeKind.Inspect, node), deadline, static asked => asked.Code == ChangeCode.UnderWay);
            return seen.Code == ChangeCode.UnderWay
                ? await FollowAsync(route, new ShardChange(ChangeKind.RemoveMember, node, Incarnation: seen.Incarnation), deadline)
                : (seen, detail ?? $"{node} is no member");
        });
    }

    /// <inheritdoc/>
    public Task<ChangeAnswer> TransferAsync(ShardId shard, NodeId node, TimeSpan patience) => ForEachAsync(ShardChoice.One(shard), patience, async (route, deadline) =>
    {
        var (reply, detail) = await FollowAsync(route, new ShardChange(ChangeKind.Transfer, node), deadline, static asked => asked.Code == ChangeCode.UnderWay);
        if (reply.Code != ChangeCode.UnderWay)
        {
            return (reply, detail);
        }

        // Whoever was asked has named itself: the next leader that is heard of is another one, or the transfer failed.
        var before = reply.Leader;
        while (NodeClock.Now < deadline)
        {
            var info = route.Leader;
            if (!info.Leader.IsNone && (node.IsNone ? info.Leader != before : info.Leader == node))
            {
                return (reply with { Code = ChangeCode.Done }, $"{info.Leader} leads");
            }

            await PauseAsync(info.Superseded, MaxPollMs, deadline);
            if (route.Leader.Leader == before && node != before)
            {
                (reply, detail) = await AskAsync(route, new ShardChange(ChangeKind.Transfer, node));
            }
        }

        return (reply with { Code = ChangeCode.UnderWay }, detail);
    });

    /// <inheritdoc/>
    public Task<ChangeAnswer> SnapshotAsync(ShardChoice shards, TimeSpan patience) => ForEachAsync(shards with { HostedOnly = false }, patience, async (route, deadline) =>
    {
        var (reply, detail) = await FollowAsync(route, new ShardChange(ChangeKind.Snapshot, default), deadline, static asked => asked.Code == ChangeCode.UnderWay);
        return reply.Code == ChangeCode.UnderWay
            ? await FollowAsync(route, new ShardChange(ChangeKind.Snapshot, default, Index: reply.Index), deadline)
            : (reply, detail);
    });

    /// <inheritdoc/>
    public async Task<ChangeAnswer> SetModeAsync(ShardMode mode, IReadOnlyCollection<ShardId>? shards, TimeSpan patience)
    {
        var change = new ShardChange(ChangeKind.SetMode, default, Mode: mode);
        Task<ChangeAnswer> SwitchAsync(ShardChoice choice) => ForEachAsync(choice, patience, (route, deadline) => FollowAsync(route, change, deadline));
        if (shards is null)
        {
            return await SwitchAsync(ShardChoice.All);
        }

        var answers = await Task.WhenAll(shards.Distinct().Select(shard => SwitchAsync(ShardChoice.One(shard))));
        var refused = answers.FirstOrDefault(static a => a.Code is not (ChangeCode.Done or ChangeCode.UnderWay));
        return new ChangeAnswer(
            refused?.Code ?? (answers.All(static a => a.Code == ChangeCode.Done) ? ChangeCode.Done : ChangeCode.UnderWay),
            [.. answers.SelectMany(static a => a.Shards)],
            refused?.Detail);
    }

    /// <inheritdoc/>
    public Task<ShardAnswer> AddShardAsync(ShardId shard, HostPort? address) => _births.AddAsync(shard, address);

    /// <inheritdoc/>
    public async Task<ShardAnswer> RemoveShardAsync(ShardId shard, TimeSpan patience)
    {
        if (cluster.Table.Of(shard) is not { } route)
        {
            return cluster.IsRetired(shard)
                ? new ShardAnswer(ChangeCode.Done, shard, "retired", default, $"shard {shard} is retired")
                : new ShardAnswer(ChangeCode.Unknown, shard, null, default, $"There is no shard {shard}.");
        }

        var (asked, detail) = await FollowAsync(route, new ShardChange(ChangeKind.RetireShard, default), NodeClock.Now.PlusMs(patience.TotalMilliseconds), static a => a.Code == ChangeCode.UnderWay);
        return asked.Code is ChangeCode.UnderWay or ChangeCode.Done
            ? new ShardAnswer(ChangeCode.Done, shard, asked.Code == ChangeCode.Done ? "retired" : "leaving", default, detail)
            : new ShardAnswer(asked.Code, shard, null, default, $"Shard {shard}: {detail ?? asked.Code.ToString()}.");
    }

    private async Task<ChangeAnswer> ForEachAsync(ShardChoice choice, TimeSpan patience, Func<ShardRoute, Instant, Task<(Asked Asked, string? Detail)>> what)
    {
        var table = cluster.Table;
        ShardRoute[] routes = choice.Only is { } one ? [.. table.Shards.Where(r => r.Shard == one)]
            : choice.HostedOnly && table.Shards.Any(static r => r.Local is not null) ? [.. table.Shards.Where(static r => r.Local is not null)]
            : [.. table.Shards];
        if (routes.Length == 0)
        {
            return choice.Only is { } missing
                ? new ChangeAnswer(ChangeCode.Unknown, [], $"There is no shard {missing}.")
                : new ChangeAnswer(ChangeCode.NotReady, [], "This process has not learned yet which shards there are.");
        }

        var deadline = NodeClock.Now.PlusMs(patience.TotalMilliseconds);
        var progress = new ShardProgress[routes.Length];
        await Parallel.ForEachAsync(Enumerable.Range(0, routes.Length), new ParallelOptions { MaxDegreeOfParallelism = AtOnce }, async (i, _) =>
        {
            var (asked, detail) = await what(routes[i], deadline);
            progress[i] = new ShardProgress(routes[i].Shard, asked.Code, detail);
        });

        if (choice.Only is null && progress.Any(static p => p.Code != ChangeCode.OtherShard))
        {
            // Of all shards a process of one is meant for that one.
            progress = [.. progress.Where(static p => p.Code != ChangeCode.OtherShard)];
        }

        var refused = progress.FirstOrDefault(static p => p.Code is not (ChangeCode.Done or ChangeCode.UnderWay));
        return refused is not null
            ? new ChangeAnswer(refused.Code, progress, $"Shard {refused.Shard}: {refused.Detail ?? refused.Code.ToString()}.")
            : new ChangeAnswer(progress.All(static p => p.Code == ChangeCode.Done) ? ChangeCode.Done : ChangeCode.UnderWay, progress, null);
    }

    /// <summary>Asks the shard's leader again and again until the change is done, refused for good, <paramref name="enough"/>, or time is up.</summary>
    private async Task<(Asked Asked, string? Detail)> FollowAsync(ShardRoute route, ShardChange change, Instant deadline, Func<Asked, bool>? enough = null)
    {
        var pollMs = PollMs;
        Instant? refusedSince = null;
        while (true)
        {
            var info = route.Leader;
            var (asked, detail) = await AskAsync(route, change);
            var now = NodeClock.Now;
            switch (asked.Code)
            {
                case ChangeCode.UnderWay or ChangeCode.NotLeader or ChangeCode.NotReady:
                    refusedSince = null;
                    break;
                case ChangeCode.Busy or ChangeCode.Unreachable or ChangeCode.WouldStop:
                    refusedSince ??= now;
                    break;
                default:
                    return (asked, detail);
            }

            if (enough?.Invoke(asked) == true || now >= deadline || (refusedSince is { } since && now.MsSince(since) >= RefusalPatienceMs))
            {
                return (asked, detail ?? (asked.Code == ChangeCode.NotLeader ? $"no leader of it could be asked; its voters are {string.Join(", ", route.Voters)}" : null));
            }

            // Whoever leads now is asked at once; otherwise there is time, and more of it the longer it takes.
            await PauseAsync(asked.Code == ChangeCode.NotLeader ? info.Superseded : Task.Delay(Timeout.Infinite), pollMs, deadline);
            pollMs = Math.Min(pollMs * 1.5, MaxPollMs);
        }
    }

    private async Task<(Asked Asked, string? Detail)> AskAsync(ShardRoute route, ShardChange change)
    {
        var leader = route.Leader.Leader;
        if (leader == cluster.Self && here is not null && route.Local is { } local)
        {
            var (reply, words) = await here.AskAsync(local, change, AnswerPatience);
            return (new Asked(reply.Code, reply.Incarnation, reply.Index, leader), words);
        }

        if (transport.LinkOf(leader)?.Session is not { } session)
        {
            return (new Asked(ChangeCode.NotLeader), leader.IsNone ? "it has no leader at this moment" : $"its leader {leader} can't be reached from here");
        }

        var call = ForwardCall.Rent(route, anyReplica: false, NodeClock.Now.PlusMs(AnswerPatience.TotalMilliseconds));
        var answer = call.AsValueTask();
        session.Forward(call, CallRequest.ChangeOf(0, route.Shard, (int)AnswerPatience.TotalMilliseconds, change));
        var (outcome, answered) = await answer;
        return outcome == ForwardOutcome.Answered && answered.Change is { } said
            ? (new Asked(said.Code, said.Incarnation, said.Index, leader), answered.Detail)
            : (new Asked(ChangeCode.NotLeader), outcome == ForwardOutcome.Answered ? null : $"its leader {leader} did not answer");
    }

    private static async Task PauseAsync(Task news, double ms, Instant deadline)
    {
        var remaining = Math.Min(ms, deadline.MsSince(NodeClock.Now));
        if (remaining > 0)
        {
            await news.WaitAsync(TimeSpan.FromMilliseconds(Math.Ceiling(remaining))).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>What a leader said, and which one.</summary>
    private sealed record Asked(ChangeCode Code, Incarnation Incarnation = default, LogIndex Index = default, NodeId Leader = default);
}
