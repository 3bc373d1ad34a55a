using Flotilla.Raft;
using Flotilla.Shards.Handoff;
using Flotilla.Shards.Image;
using Flotilla.Topology;

namespace Flotilla.Shards;

/// <summary>What one batch of inputs led to.</summary>
public sealed class ReplicaOutput
{
    /// <summary>Everything that Raft wants done, in order (Commit and reads are dealt with inside).</summary>
    public List<Effect> Effects { get; } = [];

    /// <summary>Answers to commands and gets. Values are copies: they belong to the receiver.</summary>
    public List<(RequestId Id, CommandResult Result)> Replies { get; } = [];

    /// <summary>Answers to scans.</summary>
    public List<(RequestId Id, ScanPage Page)> Pages { get; } = [];

    /// <summary>
    /// To be sent to the leader of another shard's group, in this order; no matter if they get lost. What chunks hold is entry
    /// payload in the making: it must never change.
    /// </summary>
    public List<(ShardId Shard, GroupId Group, HandoffMessage Message)> Handoffs { get; } = [];

    /// <summary>
    /// A view of the state to be written to a snapshot file, on another thread if wished; then report
    /// <see cref="Replica.SnapshotTaken"/>. Null if none is due; at most one is under way.
    /// </summary>
    public StateImage? Image { get; internal set; }

    internal void Clear()
    {
        Image = null;
        Effects.Clear();
        Replies.Clear();
        Pages.Clear();
        Handoffs.Clear();
    }
}
