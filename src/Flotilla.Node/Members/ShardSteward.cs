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
/// Leads the shards that this node leads through their lives: one that is joining becomes active once it has its replicas, slots walk
/// to where the ring wants them, and one that leaves retires when it owns nothing. It only proposes: what is applied decides, so
/// to ask twice or from an old view does no harm.
/// </summary>
internal sealed class ShardSteward(ClusterState cluster, StewardView around, ILogger log, Action<Exception> fatal) : IAsyncDisposable
{
    private const int PeriodMs = 100;
    private const int PaceMs = 10;

    /// <summary>How often it looks while every shard here is where it should be: a node that nobody uses should cost next to nothing.</summary>
    private const int RestMs = 250;

    /// <summary>A shard that has too few replicas for so long becomes active all the same: their number is a target, no condition.</summary>
    private const double JoiningPatienceMs = 10_000;

    private static readonly HandoffLimits Limits = new();

    private readonly CancellationTokenSource _stop = new();
    private readonly HandoffPace _pace = new(Environment.ProcessorCount);
    private readonly Dictionary<ShardKey, Instant> _joiningSince = [];
    private readonly SecondBirths _seconds = new();
    private Ring? _ring;
    private IReadOnlyCollection<HostedReplica>? _replicas;
    private IReadOnlyList<ShardId> _doubled = [];
    private Task _looking = Task.CompletedTask;

    /// <summary>Starts to look.</summary>
    public void Start() => _looking = Task.Run(LookAsync);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _looking;
        _stop.Dispose();
    }

    private async Task LookAsync()
    {
        var next = NodeClock.Now;
        try
        {
            var rests = false;
            while (true)
            {
                await Task.Delay(rests ? RestMs : PaceMs, _stop.Token);
                var moves = Pace();
                if (NodeClock.Now >= next)
                {
                    next = NodeClock.Now.PlusMs(PeriodMs);
                    rests = Look() && !moves;
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The node is stopping: another leader goes on.
        }
        catch (Exception e)
        {
            fatal(new NodeFailedException($"What leads shards through their lives met a state that must not be ({e.GetType().Name}: {e.Message}). The node stops. Start it again, and report this with the log.", e));
        }
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
        var hasReplicas = isCommitted && (around.IsSingle ? HasPeer(key.Shard) : HasReplicas(configuration, living));
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

        var gone = view.Shards.Where(static d => d.State == ShardState.Retired).Select(static d => new GroupId(d.Key.Group)).ToArray();
        var isLastResort = view.Ring.Members.Count == 0 && view.Shards.Where(static d => d.State is ShardState.Leaving or ShardState.Active).Select(static d => d.Key).Min() == key;
        hosted.Loop.Inbox.Post(LoopInput.ForAct(hosted, (replica, _) =>
        {
            foreach (var step in isSecond && replica.Ownership.Slots.Count == 0 ? SecondBirths.Steps(replica.Ownership) : Steps(replica, hosted, view, hasReplicas, isLastResort))
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

    private IEnumerable<HandoffStep> Steps(Replica replica, HostedReplica hosted, OwnershipView view, bool hasReplicas, bool isLastResort)
    {
        var ownership = replica.Ownership;
        switch (ownership.State)
        {
            case ShardState.Joining when hasReplicas:
                return [new HandoffStep.SetState(ShardState.Active)];
            case ShardState.Leaving when isLastResort:
                // All that were active were asked to leave at one moment: one has to stay.
                return [new HandoffStep.SetState(ShardState.Active)];
            case ShardState.Leaving when ownership.Slots.Count == 0 && ownership.IsSettled:
                return [new HandoffStep.SetState(ShardState.Retired)];
            case ShardState.Retired:
                return [];
            default:
                if (view.Doubled.Contains(hosted.Genesis.Shard))
                {
                    return []; // Nothing goes from one of two that bear one number: whoever is told of it could not tell which.
                }

                var steps = HandoffPlan.Next(ownership, hosted.Genesis.Shard, hosted.Genesis.Group, view.Ring, shard => GroupOf(shard, view), Limits);
                hosted.NoteHome(view.Ring, steps.Count == 0 && ownership.IsSettled && IsHome(ownership, hosted.Genesis.Shard, view.Ring));
                return steps;
        }
    }

    /// <summary>Where slots may go: a shard that is known once, sees the same ring, and has a leader that lives.</summary>
    private GroupId? GroupOf(ShardId shard, OwnershipView view)
    {
        if (view.Doubled.Contains(shard) || cluster.Table.Of(shard) is not { } route || !cluster.IsAlive(route.Leader.Leader) || route.Leader.Leader.IsNone)
        {
            return null;
        }

        return around.RingToldBy(new ShardKey(shard, route.Group.Value)) == view.Ring.Digest ? route.Group : null;
    }

    private static bool IsHome(Ownership ownership, ShardId shard, Ring ring) => ownership.Slots.Slots.IsSubsetOf(ring.SlotsOf(shard));

    /// <summary>Somebody leads another shard, from which slots may come.</summary>
    private bool HasPeer(ShardId shard) => cluster.Table.Shards.Any(route => route.Shard != shard && !route.Leader.Leader.IsNone && cluster.IsAlive(route.Leader.Leader));

    private bool HasReplicas(Configuration configuration, int living) =>
        !configuration.IsJoint && configuration.Learners.Count == 0 && configuration.Voters.Count >= Math.Min(around.Replication, living);

    /// <summary>Every replica hears which slots the ring means for its shard: any of them may lead next.</summary>
    private void TellRing(OwnershipView view, IReadOnlyCollection<HostedReplica> replicas)
    {
        if (ReferenceEquals(_ring, view.Ring) && ReferenceEquals(_replicas, replicas) && _doubled.SequenceEqual(view.Doubled))
        {
            return;
        }

        (_ring, _replicas, _doubled) = (view.Ring, replicas, view.Doubled);
        var onRing = view.Ring.Members.Select(static m => m.Shard).ToHashSet();
        foreach (var hosted in replicas)
        {
            var meant = onRing.Contains(hosted.Genesis.Shard) && !view.Doubled.Contains(hosted.Genesis.Shard) ? view.Ring.SlotsOf(hosted.Genesis.Shard) : SlotSet.Empty;
            hosted.Loop.Inbox.Post(LoopInput.ForAct(hosted, (replica, _) => replica.MeantSlots = meant));
        }
    }
}
