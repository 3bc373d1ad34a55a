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
            ? new MovedHint(new SlotEpoch(result.Version.SlotEpoch), new ShardId(checked((int)result.Version.Counter)), new GroupId(result.Version.Sub))
            : null;

    internal static CommandResult NotOwner(Departure? departure) =>
        departure is null
            ? CommandResult.Of(ResultCode.NotOwner)
            : new CommandResult(ResultCode.NotOwner, new Version(departure.Epoch.Value, 0, (ulong)departure.Shard.Value, departure.Group.Value), default);
}
