using Flotilla.Node.Cluster;
using Flotilla.Node.Loops;
using Flotilla.Node.Peers;
using Flotilla.Raft;
using Flotilla.Raft.Membership;
using Flotilla.Raft.Quorum;
using Flotilla.Shards;
using Flotilla.Shards.Handoff;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Members;

/// <summary>
/// Carries operators' wishes out at a replica that leads, on its loop's thread, and says how they stand. What Raft decides it
/// asks Raft; here stands what only the shell knows: which data directory speaks as a node, and who is down. Thread-safe.
/// </summary>
internal sealed class ChangeServer(ClusterState cluster, PeerTransport transport, Adopter adopter, Func<ShardId, HostedReplica?> bear, ShardId? single)
{
    private const int PollMs = 20;

    private static readonly TimeSpan AdoptPatience = TimeSpan.FromMilliseconds(500);

    /// <summary>A heartbeat there and its answer back, also through busy loops.</summary>
    private static readonly TimeSpan HeartbeatPatience = TimeSpan.FromMilliseconds(120);

    private static readonly ChangeReply NotLeader = new(ChangeCode.NotLeader);

    /// <summary>Asks the replica here. The answer comes at the latest after <paramref name="patience"/>.</summary>
    public async Task<(ChangeReply Reply, string? Detail)> AskAsync(HostedReplica local, ShardChange change, TimeSpan patience)
    {
        // Whoever is to be added is looked for before the loop is asked, which must not wait.
        Hello? node = null;
        Adoption? adoption = null;
        if (change.Kind == ChangeKind.AddMember && change.Node != cluster.Self)
        {
            node = Find(change.Node);
            if (node is null && local.View.Role == Role.Leader && (change.Address ?? cluster.Nodes.GetValueOrDefault(change.Node).Rpc) is { } address)
            {
                adoption = await AdoptAsync(change.Node, address);
            }
        }

        var given = GivenAddress.Compare(change.Node, change.Address, node?.Rpc, cluster.Nodes);

        // A voter that has just died, or hangs, looks alive for a moment more. So those that would be left must answer a heartbeat
        // that was sent after the wish came.
        var round = 0UL;
        if (change.Kind == ChangeKind.RemoveMember)
        {
            round = await ActAsync(local, static (replica, clock) => replica.Raft.BeginRound(clock.Now), ulong.MaxValue, patience);
            await Task.Delay(HeartbeatPatience);
        }

        return await ActAsync(
            local,
            (replica, clock) => replica.Raft.Role != Role.Leader ? (NotLeader, null) : change.Kind switch
            {
                ChangeKind.AddMember => Add(replica, local.Genesis.Shard, change, node, given, adoption, clock),
                ChangeKind.RemoveMember => Remove(replica, change, round, clock),
                ChangeKind.Inspect => Inspect(replica, change.Node),
                ChangeKind.RetireShard => Retire(local, replica),
                ChangeKind.SetMode => SetMode(replica, change.Mode),
                ChangeKind.Transfer => Transfer(replica, change.Node, clock),
                _ => Snapshot(replica, change.Index),
            },
            (NotLeader, "the node that led is stopping or stalled"),
            patience);
    }

    /// <summary>What <paramref name="act"/> gives on the replica's loop; <paramref name="otherwise"/> if that ends or takes too long.</summary>
    private static async Task<T> ActAsync<T>(HostedReplica local, Func<Replica, ClockReading, T> act, T otherwise, TimeSpan patience)
    {
        var answered = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        if (local.Loop.Inbox.Post(LoopInput.ForAct(local, (replica, clock) => answered.TrySetResult(act(replica, clock)))))
        {
            // A loop that ends meanwhile answers nothing.
            Task ready = answered.Task;
            await ready.WaitAsync(patience).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        return answered.Task.IsCompletedSuccessfully ? await answered.Task : otherwise;
    }

    /// <summary>This process is for one shard alone.</summary>
    public bool IsSingle => single is not null;

    /// <summary>A node that is not connected is told of this cluster, and dialled. Done once its stream stands.</summary>
    public async Task<(ChangeCode Code, string? Detail)> AdoptAsync(NodeId node, string address, TimeSpan patience)
    {
        var deadline = NodeClock.Now.PlusMs(patience.TotalMilliseconds);
        while (true)
        {
            if (Find(node) is not null)
            {
                return (ChangeCode.Done, null);
            }

            var adoption = await AdoptAsync(node, address);
            if (adoption.Code != ChangeCode.UnderWay)
            {
                return (adoption.Code, adoption.Detail);
            }

            if (NodeClock.Now >= deadline)
            {
                return (ChangeCode.Unreachable, adoption.Detail);
            }

            await Task.Delay(PollMs);
        }
    }

    /// <summary>A shard is to be born at this node.</summary>
    public (ChangeReply Reply, string? Detail) Bear(ShardId shard)
    {
        if (single is { } only && only != shard)
        {
            return (new ChangeReply(ChangeCode.OtherShard), $"Node {cluster.Self} is a process of shard {only} alone. Start another one for shard {shard}.");
        }

        // What is known of it here: whoever asked may know less.
        if (cluster.Table.Of(shard) is { } known && known.Local?.Genesis.Voters.Contains(cluster.Self) != true)
        {
            return (new ChangeReply(ChangeCode.Refused), $"Shard {shard} exists already: it is {ClusterState.NameOf(known.Facts.State)}. Give the new one another number.");
        }

        if (cluster.IsRetired(shard))
        {
            return (new ChangeReply(ChangeCode.Refused), $"Shard {shard} was removed, and a number is not used twice. Give the new one another number.");
        }

        return bear(shard) is null ? (new ChangeReply(ChangeCode.Unreachable), "the node is stopping") : (new ChangeReply(ChangeCode.Done), null);
    }

    private (ChangeReply Reply, string? Detail) Retire(HostedReplica local, Replica replica)
    {
        var ownership = replica.Ownership;
        switch (ownership.State)
        {
            case ShardState.Retired:
                return (new ChangeReply(ChangeCode.Done), "it is retired");
            case ShardState.Leaving:
                return (new ChangeReply(ChangeCode.UnderWay), $"it is leaving, and still owns {ownership.Slots.Count} slots");
            case ShardState.Active when !cluster.Table.Shards.Any(r => r.Shard != local.Genesis.Shard && r.Facts.State == ShardState.Active):
                return (new ChangeReply(ChangeCode.Refused), "it is the last active shard, and its slots would have nowhere to go: add another first");
            default:
                return replica.Propose(new HandoffStep.SetState(ShardState.Leaving))
                    ? (new ChangeReply(ChangeCode.UnderWay), $"it is leaving, and still owns {ownership.Slots.Count} slots")
                    : (new ChangeReply(ChangeCode.NotReady), "its leader is new, or handing over: try again");
        }
    }

    private static (ChangeReply Reply, string? Detail) SetMode(Replica replica, ShardMode mode)
    {
        var name = ClusterState.NameOf(mode);
        if (replica.Ownership.Mode == mode)
        {
            return (new ChangeReply(ChangeCode.Done), mode switch
            {
                ShardMode.Raft => $"its mode is {name}",
                ShardMode.Chain => $"its mode is {name}: {string.Join(" → ", replica.Chain)}",
                _ => $"its mode is {name}; in sync: {string.Join(", ", replica.InSync)}",
            });
        }

        if (mode is not (ShardMode.Raft or ShardMode.Sync or ShardMode.Chain))
        {
            return (new ChangeReply(ChangeCode.Refused), $"mode {name} comes in a later version; raft, sync and chain are built");
        }

        return replica.Propose(new HandoffStep.SetMode(mode))
            ? (new ChangeReply(ChangeCode.UnderWay), $"it switches to {name}")
            : (new ChangeReply(ChangeCode.NotReady), "its leader is new, or handing over: try again");
    }

    private Hello? Find(NodeId node) =>
        transport.IsAlive(node) && transport.LinkOf(node)?.Session is { } session ? session.Remote : null;

    /// <summary>A node that is not connected may wait to be added: it is told of the cluster, and from then on dialled, so that whoever asks again finds it.</summary>
    private async Task<Adoption> AdoptAsync(NodeId node, string address)
    {
        if (await adopter.TellAsync(node, address, AdoptPatience) is not { } adoption)
        {
            return new Adoption(ChangeCode.UnderWay, $"node {node} at {address} is told of this cluster");
        }

        if (adoption.Code != ChangeCode.Done)
        {
            return adoption;
        }

        transport.Connect(node, address);
        var complaint = transport.LinkOf(node)?.LastComplaint is { } said ? $" ({said})" : "";
        return new Adoption(ChangeCode.UnderWay, $"node {node} at {address} belongs to this cluster; it is not connected yet{complaint}");
    }

    private static (ChangeReply Reply, string? Detail) Add(Replica replica, ShardId shard, ShardChange change, Hello? node, GivenAddress address, Adoption? adoption, ClockReading clock)
    {
        var raft = replica.Raft;
        var id = change.Node;
        var seat = raft.IncarnationOf(id);
        var member = raft.Configuration.Find(id);
        if (member is { Suffrage: Suffrage.Outgoing })
        {
            return (new ChangeReply(ChangeCode.Busy, seat), $"{id} is being removed from it: try again when that is done");
        }

        if (address.Objection is { } objection)
        {
            return (new ChangeReply(ChangeCode.WrongNode, seat), objection);
        }

        if (node?.OnlyShard is { } only && only != shard)
        {
            return (new ChangeReply(ChangeCode.OtherShard, seat), $"{id} is a process of shard {only} alone, and gets no seat in another");
        }

        var isMeant = node is null || seat == node.Incarnation;
        // A process that was just told of this cluster may be another data directory than the one that has the seat.
        if (adoption is { Code: ChangeCode.WrongNode or ChangeCode.OtherCluster or ChangeCode.UnderWay })
        {
            return (new ChangeReply(adoption.Code, seat), adoption.Detail);
        }

        if (isMeant && member is { Suffrage: Suffrage.Voter } && raft.CommittedConfiguration.Configuration.Find(id) is { Suffrage: Suffrage.Voter })
        {
            return (new ChangeReply(ChangeCode.Done, seat), $"{id} votes{address.Note}");
        }

        if (isMeant && member is not null)
        {
            var lacks = raft.Log.LastIndex.Value - raft.MatchOf(id).Value;
            return (new ChangeReply(ChangeCode.UnderWay, seat), node is null ? $"{id} is a learner and down" : $"{id} is a learner, {lacks} entries behind{address.Note}");
        }

        if (node is null)
        {
            return (
                new ChangeReply(adoption?.Code ?? ChangeCode.Unreachable, seat),
                adoption?.Detail ?? $"node {id} can't be reached, and its RPC address is not known: give it");
        }

        return replica.AddMember(id, node.Incarnation, node.Rpc ?? change.Address ?? "", clock) switch
        {
            ChangeOutcome.Accepted or ChangeOutcome.AlreadyDone => (new ChangeReply(ChangeCode.UnderWay, node.Incarnation), $"{id} becomes a learner{address.Note}"),
            ChangeOutcome.SeatIsTaken => (new ChangeReply(ChangeCode.SeatIsTaken, seat), $"another data directory has the seat of node {id}: take it away first with: flotilla remove-node {id}"),
            ChangeOutcome.TooManyMembers => (new ChangeReply(ChangeCode.TooManyMembers), $"it has {Configuration.MaxMembers} members already: remove one first"),
            var other => Refused(other, raft),
        };
    }

    private (ChangeReply Reply, string? Detail) Remove(Replica replica, ShardChange change, ulong round, ClockReading clock)
    {
        var raft = replica.Raft;
        var id = change.Node;
        if (raft.CommittedConfiguration.Configuration.Find(id) is null && raft.Configuration.Find(id) is null)
        {
            return (new ChangeReply(ChangeCode.Done), $"{id} is no member");
        }

        var seat = raft.IncarnationOf(id);
        if (!change.Incarnation.IsNone && !seat.IsNone && seat != change.Incarnation)
        {
            return (new ChangeReply(ChangeCode.Done, seat), $"{id} sits there anew, with another data directory");
        }

        if (raft.Configuration.Find(id) is null or { Suffrage: Suffrage.Outgoing })
        {
            return (new ChangeReply(ChangeCode.UnderWay, seat), $"{id} is being removed");
        }

        NodeId[] left = [.. raft.Configuration.Voters.Where(voter => voter != id)];
        var down = left.Where(voter => !cluster.IsAlive(voter) || !raft.HasAnswered(voter, round)).ToArray();
        if (left.Length > 0 && raft.Configuration.IsVoter(id) && left.Length - down.Length < Majority.Of(left.Length))
        {
            return (
                new ChangeReply(ChangeCode.WouldStop, seat),
                $"without {id} its voters are {string.Join(", ", left)}, and {string.Join(", ", down)} can't be reached: it would stop. Start what is down, or remove that first");
        }

        var inSync = replica.InSync;
        if (inSync.Count > 0 && raft.Configuration.IsVoter(id) && left.Count(inSync.Contains) < Majority.Of(left.Length))
        {
            return (
                new ChangeReply(ChangeCode.WouldStop, seat),
                $"without {id} its voters are {string.Join(", ", left)}, of which too few are in sync ({string.Join(", ", inSync)}): wait until the others have caught up, or switch to raft first");
        }

        return replica.RemoveMember(id, clock) switch
        {
            ChangeOutcome.Accepted or ChangeOutcome.AlreadyDone => (new ChangeReply(ChangeCode.UnderWay, seat), $"{id} is being removed"),
            ChangeOutcome.LastVoter => (new ChangeReply(ChangeCode.LastVoter, seat), $"{id} is its last voter, with the only copy of its records: add another node first"),
            var other => Refused(other, raft),
        };
    }

    private static (ChangeReply Reply, string? Detail) Inspect(Replica replica, NodeId node)
    {
        var raft = replica.Raft;
        var isMember = raft.Configuration.Find(node) is not null || raft.CommittedConfiguration.Configuration.Find(node) is not null;
        return (new ChangeReply(isMember ? ChangeCode.UnderWay : ChangeCode.Done, raft.IncarnationOf(node)), null);
    }

    private (ChangeReply Reply, string? Detail) Transfer(Replica replica, NodeId target, ClockReading clock)
    {
        if (target == cluster.Self)
        {
            return (new ChangeReply(ChangeCode.Done), $"{target} leads");
        }

        if (!target.IsNone && !replica.Raft.Configuration.IsVoter(target))
        {
            return (new ChangeReply(ChangeCode.Refused), $"node {target} has no vote in it, so it can't lead; the voters are {string.Join(", ", replica.Raft.Configuration.Voters)}");
        }

        return replica.TransferLeadership(target, clock) || !replica.Raft.AcceptsProposals
            ? (new ChangeReply(ChangeCode.UnderWay), $"{cluster.Self} hands over")
            : (new ChangeReply(ChangeCode.Refused), target.IsNone ? "no other voter answers, so nobody else can lead it" : $"node {target} does not answer, so it can't lead");
    }

    private static (ChangeReply Reply, string? Detail) Snapshot(Replica replica, LogIndex upTo)
    {
        var taken = replica.Raft.Snapshot?.Index ?? LogIndex.Zero;
        var wanted = upTo == LogIndex.Zero ? replica.LastApplied : upTo;
        if (taken >= wanted)
        {
            return (new ChangeReply(ChangeCode.Done, Index: wanted), $"everything up to entry {taken} is in a snapshot");
        }

        if (upTo == LogIndex.Zero)
        {
            replica.AskForSnapshot();
        }

        return (new ChangeReply(ChangeCode.UnderWay, Index: wanted), $"a snapshot of everything up to entry {wanted} is being written");
    }

    private static (ChangeReply Reply, string? Detail) Refused(ChangeOutcome outcome, Raft.Raft raft) => outcome switch
    {
        ChangeOutcome.ChangeUnderWay => (new ChangeReply(ChangeCode.Busy), $"another change of its members is under way ({raft.Configuration}), and they go one at a time: try again when it is done"),
        ChangeOutcome.NotReady => (new ChangeReply(ChangeCode.NotReady), "its leader is new, or handing over: try again"),
        _ => (NotLeader, null),
    };
}
