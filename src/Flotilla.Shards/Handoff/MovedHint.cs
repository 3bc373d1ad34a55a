using Flotilla.Raft;
using Flotilla.Topology;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards.Handoff;

/// <summary>
/// Who got a slot that was here, in the version of a <see cref="ResultCode.NotOwner"/>. A hint: by now it may be elsewhere. Of two
/// hints about a slot the one with the higher epoch is newer, so whoever follows the highest never goes in a circle.
/// </summary>
/// <param name="Epoch">The epoch that the slot got there.</param>
/// <param name="Shard">The shard.</param>
/// <param name="Group">Its group.</param>
public readonly record struct MovedHint(SlotEpoch Epoch, ShardId Shard, GroupId Group)
{
    /// <summary>The hint of an answer; null if it gives none.</summary>
    public static MovedHint? Of(in CommandResult result) =>
        result.Code == ResultCode.NotOwner && !result.Version.IsNone
            ? Of(result.Version)
            : null;

    /// <summary>
    /// Who will get a frozen slot if the move is not aborted, by a <see cref="ResultCode.SlotMoving"/>; null if it does not say. No fact: good to
    /// get ready for, and not to be followed, since that shard may never have owned the slot.
    /// </summary>
    public static MovedHint? Ahead(in CommandResult result) => result.Code == ResultCode.SlotMoving && !result.Version.IsNone ? Of(result.Version) : null;

    internal static CommandResult NotOwner(Departure? departure) =>
        departure is null
            ? CommandResult.Of(ResultCode.NotOwner)
            : new CommandResult(ResultCode.NotOwner, new Version(departure.Epoch.Value, 0, (ulong)departure.Shard.Value, departure.Group.Value), default);

    internal static CommandResult Moving(OutgoingMove move, Slot slot) =>
        new(ResultCode.SlotMoving, new Version(move.Slots[slot].Next.Value, 0, (ulong)move.TargetShard.Value, move.Target.Value), default);

    private static MovedHint Of(Version version) => new(new SlotEpoch(version.SlotEpoch), new ShardId(checked((int)version.Counter)), new GroupId(version.Sub));
}
