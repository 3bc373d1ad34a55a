using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Shards.Handoff;
using Flotilla.Simulation.Nodes;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Simulation.Invariants;

/// <summary>
/// What was acknowledged in sync or chain is on the disk of every member of the in-sync set, as the leader that acknowledges it has applied that set (hazards 46, 47):
/// not only said to be, but found there.
/// </summary>
public sealed class HeldEverywhere(World world) : Invariant
{
    private readonly Dictionary<ShardId, SortedDictionary<(LogIndex Index, Term Term), ShardMode>> _switches = [];

    /// <inheritdoc/>
    public override void Persisting(HostedReplica hosted, Effect.Persist persist)
    {
        foreach (var entry in persist.Entries)
        {
            if (entry.Kind == EntryKind.Command && HandoffCodec.IsStep(entry.Payload.Span) && HandoffCodec.Decode(entry.Payload).Step is HandoffStep.SetMode step)
            {
                var shard = hosted.Genesis.Shard;
                if (!_switches.TryGetValue(shard, out var switches))
                {
                    _switches.Add(shard, switches = []);
                }

                switches[(entry.Index, entry.Term)] = step.Mode;
            }
        }
    }

    /// <summary>A replica answers a write at this moment.</summary>
    public void Acknowledged(HostedReplica hosted, in Command command, in CommandResult result)
    {
        if (!command.NamesKey || result.Code != ResultCode.Ok || result.Version.IsNone)
        {
            return;
        }

        // A result that came with its slot is of another log.
        var replica = hosted.Replica;
        var slot = Slot.Of(command.Key.Span);
        var index = new LogIndex(result.Version.Counter);
        if (!replica.Ownership.Slots.Slots.Contains(slot) || replica.Ownership.Slots[slot].Value != result.Version.SlotEpoch || index > replica.LastApplied)
        {
            return;
        }

        // The retry of a write has an entry of its own, somewhere behind the first: its rule is known if it was one and the same all along.
        if (!HeldSince(hosted.Genesis, index, replica.LastApplied))
        {
            return;
        }

        world.Count("acknowledged by all in sync");
        var configuration = replica.Raft.ConfigurationAt(replica.LastApplied);
        foreach (var member in configuration.Voters.Concat(configuration.OldVoters).Distinct())
        {
            var node = world.NodeOf(member);
            if (node.Wiped || replica.Ownership.OutOfSync.Contains(member))
            {
                continue;
            }

            // Where the shard is retired its replica is taken away, and nobody acknowledges anything any more.
            if (World.ReplicaOn(node, hosted.Genesis.Shard)?.DurableLog is { } disk && (disk.Last < index || disk.At(index).Chain != world.Committed.At(hosted.Genesis.Shard, index).Chain))
            {
                throw Broken($"{hosted.Name} acknowledges {index} in mode {replica.Ownership.Mode}, and the disk of {member}, which is in sync, ends at {disk.Last}");
            }
        }
    }

    private bool HeldSince(ShardGenesis shard, LogIndex from, LogIndex to) =>
        ModeAt(shard, from) != ShardMode.Raft
        && !Switches(shard.Shard).Any(change => change.Index > from && change.Index <= to && change.Mode == ShardMode.Raft);

    private ShardMode ModeAt(ShardGenesis shard, LogIndex at) =>
        Switches(shard.Shard).Where(change => change.Index <= at).Select(change => (ShardMode?)change.Mode).LastOrDefault() ?? shard.Mode;

    // Those that were committed, in order.
    private IEnumerable<(LogIndex Index, ShardMode Mode)> Switches(ShardId shard) =>
        (_switches.GetValueOrDefault(shard) ?? [])
            .Where(change => change.Key.Index.Value <= (ulong)world.Committed.Count(shard) && world.Committed.At(shard, change.Key.Index).Term == change.Key.Term)
            .Select(change => (change.Key.Index, change.Value));
}
