using System.Collections.Immutable;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Topology.Tests.Descriptors;

/// <summary>Descriptors drawn from a seed.</summary>
internal static class Samples
{
    public static ShardDescriptor Draw(Random random, bool withSlots = true)
    {
        string[] nodes = [.. Enumerable.Range(1, 9).Select(i => $"n{i}").OrderBy(_ => random.Next())];
        var voterCount = random.Next(0, 6);
        ImmutableArray<ShardMember> voters = [.. nodes[..voterCount].Order(StringComparer.Ordinal).Select(n => new ShardMember(n, Addresses(random)))];
        ImmutableArray<ShardMember> learners = [.. nodes[6..random.Next(6, 9)].Order(StringComparer.Ordinal).Select(n => new ShardMember(n, Addresses(random)))];
        var state = (ShardState)random.Next(1, 5);
        return new ShardDescriptor
        {
            Key = new ShardKey(new ShardId(random.Next(1, 4)), (ulong)random.Next(1, 3)),
            Version = new DescriptorVersion((ulong)random.Next(0, 4), (ulong)random.Next(0, 4)),
            State = state,
            Mode = (ShardMode)random.Next(1, 6),
            Weight = random.Next(1, Ring.MaxWeight + 1),
            Leader = random.Next(4) == 0 ? null : nodes[0],
            ConfigurationIndex = (ulong)random.NextInt64(),
            Voters = voters,
            Learners = learners,
            InSync = [.. voters.Where(_ => random.Next(3) > 0).Select(v => v.Node)],
            Former = [.. Enumerable.Range(0, random.Next(0, 3)).Select(i => new FormerMember($"gone{i}", (ulong)random.NextInt64(1, long.MaxValue)))],
            RingDigest = (ulong)random.NextInt64(),
            Slots = state == ShardState.Retired || !withSlots ? SlotEpochs.Empty : Slots(random),
            Outgoing = Moves(random),
            Incoming = Moves(random),
        };
    }

    public static SlotEpochs Slots(Random random)
    {
        var bySlot = new uint[Slot.Count];
        var highest = random.Next(1, 4);
        switch (random.Next(4))
        {
            case 0:
                return SlotEpochs.Empty;
            case 1: // Some runs.
                for (var run = random.Next(1, 9); run > 0; run--)
                {
                    var first = random.Next(Slot.Count);
                    bySlot.AsSpan(first, random.Next(1, Slot.Count - first + 1)).Fill((uint)random.Next(1, highest + 1));
                }

                break;
            case 2: // Scattered, as the ring gives them.
                for (var i = random.Next(3); i < Slot.Count; i += 1 + random.Next(6))
                {
                    bySlot[i] = (uint)random.Next(1, highest + 1);
                }

                break;
            default: // As wild as can be.
                for (var i = 0; i < Slot.Count; i++)
                {
                    bySlot[i] = (uint)random.NextInt64(0, 1L << 32);
                }

                break;
        }

        return SlotEpochs.Of(bySlot);
    }

    private static NodeAddresses Addresses(Random random)
    {
        string? One() => random.Next(3) == 0 ? null : $"10.0.0.{random.Next(256)}:{random.Next(1, 65536)}";
        return new NodeAddresses(One(), One(), One(), One());
    }

    private static ImmutableArray<MoveProgress> Moves(Random random) =>
        [.. Enumerable.Range(0, random.Next(3)).Select(_ => new MoveProgress(
            new ShardKey(new ShardId(random.Next(1, 100)), (ulong)random.NextInt64()), (MovePhase)random.Next(0, 9), random.Next(0, Slot.Count + 1), (ulong)random.Next(), (ulong)random.NextInt64(),
            random.Next(2) == 0 ? 0 : (ulong)random.NextInt64(), random.Next(2) == 0 ? 0 : (ulong)random.NextInt64()))];
}
