using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Simulation.Moves;

/// <summary>
/// What a cluster comes to once faults have stopped and nobody changes it any more (hazard 44): each slot is owned by the shard that the ring of
/// the active shards means, no move is open, owed or to be purged, and shards that left are retired.
/// </summary>
internal static class Homecoming
{
    /// <summary>What is still to come; null if all is well.</summary>
    public static string? Obstacle(World world)
    {
        var meaning = world.Meaning!;
        var machines = meaning.Machines.ToList();
        var ring = new Ring([.. machines.Where(m => m.Machine.Ownership.State == ShardState.Active).Select(m => new RingMember(m.Shard, m.Machine.Ownership.Weight))]);
        foreach (var (shard, machine) in machines)
        {
            var ownership = machine.Ownership;
            var problem = ownership.State is not (ShardState.Active or ShardState.Retired) ? $"is still {ownership.State}"
                : !ownership.IsSettled ? "has moves that do not end"
                : !ownership.ToPurge.IsEmpty && ownership.State != ShardState.Retired ? $"has {ownership.ToPurge.Count} slots to purge"
                : !ownership.Slots.Slots.Equals(ring.SlotsOf(shard)) ? $"owns {ownership.Slots.Count} slots, and the ring wants {ring.SlotsOf(shard).Count} there"
                : null;
            if (problem is not null)
            {
                return $"shard {shard} {problem} (hazard 44); {string.Join("; ", machines.Select(m => Describe(m.Shard, m.Machine)))}";
            }
        }

        return null;
    }

    /// <summary>Whatever was written once and for certain is still there.</summary>
    public static void MustHave(World world, IEnumerable<KeyValuePair<string, string>> written)
    {
        foreach (var (key, value) in written)
        {
            var bytes = System.Text.Encoding.UTF8.GetBytes(key);
            var owner = world.Meaning!.Machines.Where(m => m.Machine.Ownership.Slots.Slots.Contains(Slot.Of(bytes))).Select(m => m.Machine).First();
            if (owner.Get(bytes) is not { Code: ResultCode.Ok } found || System.Text.Encoding.UTF8.GetString(found.Value.Span) != value)
            {
                throw new SimulationException($"Homecoming: {key} was written and never touched again, and is not there any more (hazard 41)");
            }
        }
    }

    /// <summary>Nothing is left at a shard of slots that are not there.</summary>
    public static void MustBeClean(World world)
    {
        // What is retired goes as a whole, and is not purged.
        foreach (var (shard, machine) in world.Meaning!.Machines.Where(static m => m.Machine.Ownership.State != ShardState.Retired))
        {
            var visitor = new Leftover(machine.Ownership.Slots.Slots);
            machine.Records.Visit([], ref visitor);
            if (visitor.Key is { } key)
            {
                throw new SimulationException($"Homecoming: shard {shard} still has the record {key}, whose slot it does not own (hazard 43)");
            }
        }

        foreach (var node in world.Nodes.Where(n => n.HasLeftovers))
        {
            throw new SimulationException($"Homecoming: {node.Id} still has logs or snapshots of retired shards on its disk");
        }
    }

    private static string Describe(ShardId shard, StateMachine machine)
    {
        var o = machine.Ownership;
        return $"{shard} {o.State} {o.Slots.Count} slots, out [{string.Join(' ', o.Outgoing.Select(m => $"{m.Begin}>{m.TargetShard} {m.Phase}"))}], in [{string.Join(' ', o.Incoming.Select(m => $"{m.Id} {m.Phase} {m.Attempt} {m.Chunks}"))}], purge {o.ToPurge.Count}";
    }

    private struct Leftover(SlotSet owned) : Data.IRecordVisitor
    {
        public string? Key { get; private set; }

        public bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Data.Version version, long expiresAtMs)
        {
            Key = owned.Contains(Slot.Of(key)) ? null : System.Text.Encoding.UTF8.GetString(key);
            return Key is null;
        }
    }
}
