using Flotilla.Node.Loops;
using Flotilla.Raft;
using Flotilla.Shards.Handoff;
using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Ownership;

namespace Flotilla.Node.Members;

/// <summary>
/// What becomes of two groups that were born under one number, at two nodes that were asked at the same time. No source that has heard of both
/// begins a move to either (or from either). One that owns no slots retires if the other owns some, or if neither does and the other's group is the
/// lower one: so one is left, the same by every node's view. Where both own slots, both go on, and people are told. One thread at a time.
/// </summary>
/// <remarks>
/// Views may differ for a while; then at worst both retire. Nothing is lost by that: a shard leaves only through its own log, and
/// only when it owns nothing.
/// </remarks>
internal sealed class SecondBirths
{
    /// <summary>News of which group owns what must have spread first.</summary>
    private const double PatienceMs = 2000;

    private readonly Dictionary<ShardKey, Instant> _since = [];

    /// <summary>Whether a shard led here should go, for the sake of another one under its number.</summary>
    public bool ShouldGo(HostedReplica hosted, OwnershipView view, Instant now)
    {
        var key = new ShardKey(hosted.Genesis.Shard, hosted.Genesis.Group.Value);
        if (!view.Doubled.Contains(key.Shard))
        {
            _since.Remove(key);
            return false;
        }

        if (!_since.TryGetValue(key, out var since))
        {
            _since.Add(key, since = now);
        }

        return now.MsSince(since) >= PatienceMs
            && view.Shards.Any(other => other.Shard == key.Shard && other.Key != key && other.State != ShardState.Retired && (other.Slots.Count > 0 || other.Key.Group < key.Group))
            && !(view.Find(key) is { Slots.Count: > 0 });
    }

    /// <summary>The next step of one that goes; none while it owns something, which it keeps, or while a move is to be settled first.</summary>
    public static IReadOnlyList<HandoffStep> Steps(Ownership ownership) => ownership switch
    {
        { Slots.Count: > 0 } or { State: ShardState.Retired } => [],
        { State: ShardState.Active } => [new HandoffStep.SetState(ShardState.Leaving)],
        { IsSettled: true } => [new HandoffStep.SetState(ShardState.Retired)],
        _ => [],
    };
}
