using Flotilla.Raft;
using Flotilla.Raft.Membership;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Ownership;

namespace Flotilla.Shards.Handoff;

/// <summary>
/// What a shard's leader should propose so that the shard leads its life: one that is joining takes the mode of the others and becomes active once it has its replicas, slots
/// walk to where the ring wants them (<see cref="HandoffPlan"/>), and one that leaves retires when it owns nothing. Pure functions of
/// what is applied and of the leader's view of the cluster, which may be wrong: that costs time and nothing else.
/// </summary>
public static class ShardLife
{
    /// <summary>Steps to be proposed now; none if there is nothing to do, or enough is under way.</summary>
    /// <param name="ownership">What is applied.</param>
    /// <param name="self">The shard.</param>
    /// <param name="view">Who owns and who should own what.</param>
    /// <param name="hasReplicas">It has the replicas that it should have, or has waited for them long enough.</param>
    /// <param name="groupOf">As <see cref="HandoffPlan.Next"/> takes it.</param>
    /// <param name="limits">How much at a time.</param>
    public static IReadOnlyList<HandoffStep> Next(Ownership ownership, ShardKey self, OwnershipView view, bool hasReplicas, Func<ShardId, GroupId?> groupOf, HandoffLimits limits)
    {
        ArgumentNullException.ThrowIfNull(ownership);
        ArgumentNullException.ThrowIfNull(view);
        return ownership.State switch
        {
            ShardState.Joining when !hasReplicas => [],

            // First its mode, and once that is applied the next: who has slots in sync or chain gives them to nobody who does less.
            ShardState.Joining when ownership.Mode == ShardMode.Raft && ModeOfAll(view) is { } mode and not ShardMode.Raft => [new HandoffStep.SetMode(mode)],
            ShardState.Joining => [new HandoffStep.SetState(ShardState.Active)],
            ShardState.Leaving when IsLastResort(self, view) => [new HandoffStep.SetState(ShardState.Active)],
            ShardState.Leaving when ownership.Slots.Count == 0 && ownership.IsSettled => [new HandoffStep.SetState(ShardState.Retired)],
            ShardState.Retired => [],

            // Nothing goes from one of two that bear one number: whoever is told of it could not tell which.
            _ when view.Doubled.Contains(self.Shard) => [],
            _ => HandoffPlan.Next(ownership, self.Shard, new GroupId(self.Group), view.Ring, groupOf, limits),
        };
    }

    /// <summary>An active shard is where it should be: nothing of it has to move or is on its way, so no other look at the same ring finds anything to do.</summary>
    public static bool IsHome(Ownership ownership, ShardKey self, OwnershipView view)
    {
        ArgumentNullException.ThrowIfNull(ownership);
        ArgumentNullException.ThrowIfNull(view);
        return ownership is { State: ShardState.Active, IsSettled: true } && !view.Doubled.Contains(self.Shard)
            && ownership.Slots.Slots.IsSubsetOf(view.Ring.SlotsOf(self.Shard));
    }

    /// <summary>A shard has as many voters as it is meant to have, or as many as could host one, and no change of members is under way.</summary>
    /// <param name="configuration">Its committed configuration.</param>
    /// <param name="replication">How many replicas a shard is meant to have.</param>
    /// <param name="living">How many nodes could host one.</param>
    public static bool HasReplicas(Configuration configuration, int replication, int living)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        return !configuration.IsJoint && configuration.Learners.Count == 0 && configuration.Voters.Count >= Math.Min(replication, living);
    }

    /// <summary>The slots that the ring means for a shard, which each of its replicas should know; none for one of two under one number.</summary>
    public static SlotSet MeantFor(ShardId shard, OwnershipView view)
    {
        ArgumentNullException.ThrowIfNull(view);
        return view.Doubled.Contains(shard) ? SlotSet.Empty : view.Ring.SlotsOf(shard);
    }

    /// <summary>The groups that are gone for ever: what is owed to one of them need not be settled.</summary>
    public static IReadOnlyList<GroupId> Gone(OwnershipView view)
    {
        ArgumentNullException.ThrowIfNull(view);
        return [.. view.Shards.Where(static d => d.State == ShardState.Retired).Select(static d => new GroupId(d.Key.Group))];
    }

    /// <summary>The mode that all active shards have; null if they differ, or have one that is none of the log's.</summary>
    private static ShardMode? ModeOfAll(OwnershipView view)
    {
        ShardMode[] modes = [.. view.Shards.Where(static d => d.State == ShardState.Active).Select(static d => d.Mode).Distinct()];
        return modes is [ShardMode.Raft or ShardMode.Sync or ShardMode.Chain] ? modes[0] : null;
    }

    /// <summary>All that were active were asked to leave at one moment: one has to stay.</summary>
    private static bool IsLastResort(ShardKey self, OwnershipView view) =>
        view.Ring.Members.Count == 0 && view.Shards.Where(static d => d.State is ShardState.Leaving or ShardState.Active).Select(static d => d.Key).DefaultIfEmpty().Min() == self;
}
