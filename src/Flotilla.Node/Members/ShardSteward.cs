using Flotilla.Node.Cluster;
using Flotilla.Node.Loops;
using Flotilla.Raft;
using Flotilla.Raft.Membership;
using Flotilla.Shards;
using Flotilla.Shards.Handoff;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Ownership;
using Microsoft.Extensions.Logging;

namespace Flotilla.Node.Members;

/// <summary>What the steward looks at.</summary>
/// <param name="Replicas">The replicas here.</param>
/// <param name="View">Who owns and who should own what, by all that is known here.</param>
/// <param name="RingToldBy">The digest of the ring that a shard's leader last said it sees.</param>
/// <param name="LivingNodes">Nodes that could host a replica, this one among them.</param>
/// <param name="Replication">How many replicas a shard is meant to have.</param>
/// <param name="IsSingle">The process is for one shard: it gets no replicas by itself, so its shard waits for none.</param>
internal sealed record StewardView(Func<IReadOnlyCollection<HostedReplica>> Replicas, Func<OwnershipView> View, Func<ShardKey, ulong> RingToldBy, Func<int> LivingNodes, int Replication, bool IsSingle);

/// <summary>
/// Leads the shards that this node leads through their lives, as <see cref="ShardLife"/> says. It only proposes: what is applied decides, so
/// to ask twice or from an old view does no harm.
/// </summary>
internal sealed class ShardSteward(ClusterState cluster, StewardView around, ILogger log, Action<Exception> fatal) : Looker("What leads shards through their lives", fatal)
{
    private const int PeriodMs = 100;
    private static readonly TimeSpan Pacing = TimeSpan.FromMilliseconds(10);

    /// <summary>How often it looks while every shard here is where it should be: a node that nobody uses should cost next to nothing.</summary>
    private static readonly TimeSpan Resting = TimeSpan.FromMilliseconds(250);

    /// <summary>A shard that has too few replicas for so long becomes active all the same: their number is a target, no condition.</summary>
    private const double JoiningPatienceMs = 10_000;

    private static readonly HandoffLimits Limits = new();

    private readonly HandoffPace _pace = new(Environment.ProcessorCount);
    private readonly Dictionary<ShardKey, Instant> _joiningSince = [];
    private readonly SecondBirths _seconds = new();
    private Ring? _ring;
    private IReadOnlyCollection<HostedReplica>? _replicas;
    private IReadOnlyList<ShardId> _doubled = [];
    private Instant _next = NodeClock.Now;
    private bool _rests;

    /// <inheritdoc/>
    protected override ValueTask<TimeSpan?> LookAsync(CancellationToken stop)
    {
        var moves = Pace();
        if (NodeClock.Now >= _next)
        {
            _next = NodeClock.Now.PlusMs(PeriodMs);
            _rests = Look() && !moves;
        }

        return new(_rests ? Resting : Pacing);
    }

    /// <summary>What moves from here may go on: so many bytes for all shards of this node together. True if something moves.</summary>
    private bool Pace()
    {
        var moving = around.Replicas().Where(static hosted => hosted.GivesSlots).ToArray();
        if (moving.Length == 0)
        {
            return false;
        }

        var bytes = _pace.Take(around.Replicas().Select(static hosted => hosted.Loop).Distinct().Sum(static loop => loop.CallsBegun), NodeClock.Now) / moving.Length;
        foreach (var hosted in moving)
        {
            hosted.Loop.Inbox.Post(LoopInput.ForAct(hosted, (replica, _) => replica.AllowHandoffBytes(bytes)));
        }

        return true;
    }

    /// <summary>True if every shard that is led here is where it should be.</summary>
    private bool Look()
    {
        var view = around.View();
        var replicas = around.Replicas();
        TellRing(view, replicas);
        var living = around.LivingNodes();
        var isSettled = true;
        foreach (var hosted in replicas)
        {
            if (hosted.View.Role == Role.Leader)
            {
                isSettled &= Look(hosted, view, living);
            }
        }

        return isSettled;
    }

    private bool Look(HostedReplica hosted, OwnershipView view, int living)
    {
        var key = new ShardKey(hosted.Genesis.Shard, hosted.Genesis.Group.Value);
        var (configuration, isCommitted) = hosted.Configuration;
        var hasReplicas = isCommitted && (around.IsSingle ? HasPeer(key.Shard) : ShardLife.HasReplicas(configuration, around.Replication, living));
        if (hosted.State != ShardState.Joining || around.IsSingle)
        {
            _joiningSince.Remove(key);
        }
        else if (!hasReplicas && _joiningSince.TryAdd(key, NodeClock.Now))
        {
            return false;
        }
        else if (!hasReplicas)
        {
            hasReplicas = NodeClock.Now.MsSince(_joiningSince[key]) >= JoiningPatienceMs;
        }

        var isSecond = hosted.State != ShardState.Retired && _seconds.ShouldGo(hosted, view, NodeClock.Now);
        if (hosted.State == ShardState.Retired || (hosted.State == ShardState.Active && hosted.IsAtHome(view.Ring) && !isSecond))
        {
            return true;
        }

        var gone = ShardLife.Gone(view);
        hosted.Loop.Inbox.Post(LoopInput.ForAct(hosted, (replica, _) =>
        {
            foreach (var step in isSecond && replica.Ownership.Slots.Count == 0 ? SecondBirths.Steps(replica.Ownership) : Steps(replica, hosted, key, view, hasReplicas))
            {
                if (replica.Propose(step) && step is HandoffStep.SetState(var state))
                {
                    if (isSecond)
                    {
                        log.SecondBirthRetires(key.Shard, key.Group);
                    }

                    var name = ClusterState.NameOf(state);
                    log.ShardStateChanged(key.Shard, name);
                }
            }

            foreach (var group in gone)
            {
                replica.TargetIsGone(group);
            }
        }));
        return false;
    }

    private IReadOnlyList<HandoffStep> Steps(Replica replica, HostedReplica hosted, ShardKey key, OwnershipView view, bool hasReplicas)
    {
        var steps = ShardLife.Next(replica.Ownership, key, view, hasReplicas, shard => GroupOf(shard, view), Limits);
        hosted.NoteHome(view.Ring, steps.Count == 0 && ShardLife.IsHome(replica.Ownership, key, view));
        return steps;
    }

    /// <summary>Where slots may go: a shard that is known once, sees the same ring, and can be reached.</summary>
    private GroupId? GroupOf(ShardId shard, OwnershipView view)
    {
        if (view.Doubled.Contains(shard) || cluster.Table.Of(shard) is not { } route || !IsReachable(route))
        {
            return null;
        }

        return around.RingToldBy(new ShardKey(shard, route.Group.Value)) == view.Ring.Digest ? route.Group : null;
    }

    /// <summary>
    /// Its leader lives; or it can't be reached from here, and a majority of the voters can without it. They would elect another one if it
    /// did not live, and pass on what is said to it.
    /// </summary>
    private bool IsReachable(ShardRoute route)
    {
        var leader = route.Leader.Leader;
        return !leader.IsNone && (cluster.IsAlive(leader) || route.Voters.Count(voter => voter != leader && cluster.IsAlive(voter)) * 2 > route.Voters.Count);
    }

    /// <summary>Somebody leads another shard, from which slots may come.</summary>
    private bool HasPeer(ShardId shard) => cluster.Table.Shards.Any(route => route.Shard != shard && !route.Leader.Leader.IsNone && cluster.IsAlive(route.Leader.Leader));

    /// <summary>Every replica hears which slots the ring means for its shard: any of them may lead next.</summary>
    private void TellRing(OwnershipView view, IReadOnlyCollection<HostedReplica> replicas)
    {
        if (ReferenceEquals(_ring, view.Ring) && ReferenceEquals(_replicas, replicas) && _doubled.SequenceEqual(view.Doubled))
        {
            return;
        }

        (_ring, _replicas, _doubled) = (view.Ring, replicas, view.Doubled);
        foreach (var hosted in replicas)
        {
            var meant = ShardLife.MeantFor(hosted.Genesis.Shard, view);
            hosted.Loop.Inbox.Post(LoopInput.ForAct(hosted, (replica, _) => replica.MeantSlots = meant));
        }
    }
}
