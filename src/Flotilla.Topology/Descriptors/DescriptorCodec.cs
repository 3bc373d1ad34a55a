using System.Collections.Immutable;
using Flotilla.Topology.Sealing;

namespace Flotilla.Topology.Descriptors;

/// <summary>
/// Descriptors as bytes, and back from any bytes (docs/topology.md has the layout). Pure and thread-safe.
/// </summary>
public static class DescriptorCodec
{
    /// <summary>What a sealed descriptor begins with.</summary>
    internal const byte Kind = (byte)'S';

    /// <summary>The highest number of a shard.</summary>
    public const int MaxShard = 1 << 20;

    /// <summary>The most members of a shard.</summary>
    public const int MaxMembers = 64;

    /// <summary>The most seats that are remembered as taken.</summary>
    public const int MaxFormer = 32;

    /// <summary>The most moves told in each direction; more go untold.</summary>
    public const int MaxMoves = 64;

    /// <summary>The longest node id, in characters.</summary>
    public const int MaxNodeId = 255;

    /// <summary>The longest address, in characters.</summary>
    public const int MaxAddress = 300;

    /// <summary>The longest sealed descriptor, in bytes; far above any real one (a few hundred bytes to a few KiB).</summary>
    public const int MaxBytes = 256 * 1024;

    private const int OutgoingTag = 1;
    private const int IncomingTag = 2;
    private const int OutgoingAmountsTag = 3;
    private const int IncomingAmountsTag = 4;

    /// <summary>Seals a descriptor.</summary>
    /// <exception cref="ArgumentException">It breaks a rule that a descriptor has to keep, as the message says.</exception>
    public static byte[] Encode(ShardDescriptor descriptor)
    {
        ArgumentNullException.ThrowIfNull(descriptor);
        if (ProblemOf(descriptor) is { } problem)
        {
            throw new ArgumentException($"The descriptor of shard {descriptor.Key} cannot be published: {problem}.", nameof(descriptor));
        }

        var to = new SealWriter();
        to.Varint((uint)descriptor.Key.Shard.Value);
        to.UInt64(descriptor.Key.Group);
        to.Varint(descriptor.Version.Term);
        to.Varint(descriptor.Version.Index);
        to.Byte((byte)descriptor.State);
        to.Byte((byte)descriptor.Mode);
        to.Varint((uint)descriptor.Weight);
        to.Text(descriptor.Leader, MaxNodeId);
        to.Varint(descriptor.ConfigurationIndex);
        WriteMembers(to, descriptor.Voters);
        WriteMembers(to, descriptor.Learners);
        to.Varint(InSyncOf(descriptor));
        to.Varint((uint)descriptor.Former.Length);
        foreach (var former in descriptor.Former)
        {
            to.Text(former.Node, MaxNodeId);
            to.UInt64(former.Incarnation);
        }

        to.UInt64(descriptor.RingDigest);
        SlotEpochsCodec.Write(to, descriptor.Slots);
        WriteMoves(to, OutgoingTag, descriptor.Outgoing);
        WriteMoves(to, IncomingTag, descriptor.Incoming);
        WriteAmounts(to, OutgoingAmountsTag, descriptor.Outgoing);
        WriteAmounts(to, IncomingAmountsTag, descriptor.Incoming);
        return Seal.Close(Kind, to.Written);
    }

    /// <summary>Opens a sealed descriptor.</summary>
    /// <param name="bytes">Any bytes.</param>
    /// <param name="descriptor">What it says; null if it was refused.</param>
    /// <param name="problem">Why it was refused, to follow "it is refused: "; null if it was not.</param>
    public static bool TryDecode(ReadOnlySpan<byte> bytes, out ShardDescriptor? descriptor, out string? problem)
    {
        descriptor = null;
        if (bytes.Length > MaxBytes)
        {
            problem = $"it has more than {MaxBytes} bytes";
            return false;
        }

        if (!Seal.TryOpen(bytes, out var kind, out var body, out problem))
        {
            return false;
        }

        if (kind != Kind)
        {
            problem = "it is no descriptor";
            return false;
        }

        var from = new SealReader(body);
        var read = Read(ref from);
        problem = from.Problem ?? ProblemOf(read);
        descriptor = problem is null ? read : null;
        return problem is null;
    }

    /// <summary>Four addresses, each as a text.</summary>
    internal static void WriteAddresses(SealWriter to, NodeAddresses addresses)
    {
        to.Text(addresses.Http, MaxAddress);
        to.Text(addresses.Rpc, MaxAddress);
        to.Text(addresses.Resp, MaxAddress);
        to.Text(addresses.RespCluster, MaxAddress);
    }

    /// <summary>What <see cref="WriteAddresses"/> wrote.</summary>
    internal static NodeAddresses ReadAddresses(ref SealReader from) =>
        new(from.Text(MaxAddress), from.Text(MaxAddress), from.Text(MaxAddress), from.Text(MaxAddress));

    private static ShardDescriptor Read(ref SealReader from)
    {
        var key = new ShardKey(new ShardId((int)from.Varint(MaxShard)), from.UInt64());
        var version = new DescriptorVersion(from.Varint(ulong.MaxValue), from.Varint(ulong.MaxValue));
        var state = (ShardState)from.Byte();
        var mode = (ShardMode)from.Byte();
        var weight = (int)from.Varint(Ring.MaxWeight);
        var leader = from.Text(MaxNodeId);
        var configuration = from.Varint(ulong.MaxValue);
        var voters = ReadMembers(ref from);
        var learners = ReadMembers(ref from);
        var inSync = from.Varint(ulong.MaxValue);
        from.Require(voters.Length == MaxMembers || inSync >> voters.Length == 0, "who is in sync does not vote");
        var former = new FormerMember[from.Count(MaxFormer, minBytes: 10)];
        for (var i = 0; i < former.Length; i++)
        {
            former[i] = new FormerMember(from.Name(MaxNodeId), from.UInt64());
        }

        var ringDigest = from.UInt64();
        var slots = SlotEpochsCodec.Read(ref from);
        ImmutableArray<MoveProgress> outgoing = [], incoming = [];
        var lastTag = 0UL;
        while (from.Remaining > 0)
        {
            var tag = from.Varint(ulong.MaxValue);
            from.Require(tag > lastTag, "its fields are out of order");
            lastTag = tag;
            var field = new SealReader(from.Bytes(int.MaxValue));
            switch (tag)
            {
                case OutgoingTag:
                    outgoing = ReadMoves(ref field);
                    break;
                case IncomingTag:
                    incoming = ReadMoves(ref field);
                    break;
                case OutgoingAmountsTag:
                    outgoing = ReadAmounts(ref field, outgoing);
                    break;
                case IncomingAmountsTag:
                    incoming = ReadAmounts(ref field, incoming);
                    break;
                default:
                    break; // Of a later release: kept with the bytes, and of no meaning here.
            }

            if (field.Problem is not null)
            {
                from.Fail(field.Problem);
            }
        }

        return new ShardDescriptor
        {
            Key = key,
            Version = version,
            State = state,
            Mode = mode,
            Weight = weight,
            Leader = leader,
            ConfigurationIndex = configuration,
            Voters = voters,
            Learners = learners,
            InSync = [.. voters.Where((_, i) => (inSync >> i & 1) != 0).Select(v => v.Node)],
            Former = ImmutableArray.Create(former),
            RingDigest = ringDigest,
            Slots = slots,
            Outgoing = outgoing,
            Incoming = incoming,
        };
    }

    // What holds of every descriptor, whether it is written or read.
    private static string? ProblemOf(ShardDescriptor d) =>
        d.Key.Shard.Value is < 1 or > MaxShard ? "there is no such shard"
        : d.Key.Group == 0 ? "it has no group"
        : !Enum.IsDefined(d.State) ? "its state is unknown"
        : !Enum.IsDefined(d.Mode) ? "its mode is unknown"
        : d.Weight is < 1 or > Ring.MaxWeight ? $"its weight is not 1 to {Ring.MaxWeight}"
        : d.Voters.Length + d.Learners.Length > MaxMembers ? $"it has more than {MaxMembers} members"
        : !IsOrdered(d.Voters.Select(m => m.Node)) || !IsOrdered(d.Learners.Select(m => m.Node)) ? "its members are out of order"
        : d.Voters.Select(m => m.Node).Intersect(d.Learners.Select(m => m.Node), StringComparer.Ordinal).Any() ? "a member both votes and learns"
        : !IsOrdered(d.InSync) || d.InSync.Except(d.Voters.Select(m => m.Node), StringComparer.Ordinal).Any() ? "who is in sync does not vote"
        : d.Former.Length > MaxFormer ? $"it remembers more than {MaxFormer} seats"
        : d.Former.Any(f => f.Incarnation == 0) ? "a seat that was taken has no incarnation"
        : d.State == ShardState.Retired && d.Slots.Count > 0 ? "it is retired and owns slots"
        : d.Outgoing.Length > MaxMoves || d.Incoming.Length > MaxMoves ? $"it tells more than {MaxMoves} moves"
        : d.Outgoing.Concat(d.Incoming).Any(m => m.Other.Shard.Value is < 1 or > MaxShard || m.Slots is < 0 or > Slot.Count) ? "a move makes no sense"
        : null;

    private static bool IsOrdered(IEnumerable<string> names)
    {
        var last = "";
        foreach (var name in names)
        {
            if (string.CompareOrdinal(last, name) >= 0)
            {
                return false;
            }

            last = name;
        }

        return true;
    }

    private static void WriteMembers(SealWriter to, ImmutableArray<ShardMember> members)
    {
        to.Varint((uint)members.Length);
        foreach (var member in members)
        {
            to.Text(member.Node, MaxNodeId);
            WriteAddresses(to, member.Addresses);
        }
    }

    private static ImmutableArray<ShardMember> ReadMembers(ref SealReader from)
    {
        var members = new ShardMember[from.Count(MaxMembers, minBytes: 6)];
        for (var i = 0; i < members.Length; i++)
        {
            members[i] = new ShardMember(from.Name(MaxNodeId), ReadAddresses(ref from));
        }

        return ImmutableArray.Create(members);
    }

    private static ulong InSyncOf(ShardDescriptor descriptor)
    {
        var mask = 0UL;
        for (var i = 0; i < descriptor.Voters.Length; i++)
        {
            mask |= descriptor.InSync.Contains(descriptor.Voters[i].Node, StringComparer.Ordinal) ? 1UL << i : 0;
        }

        return mask;
    }

    private static void WriteMoves(SealWriter to, int tag, ImmutableArray<MoveProgress> moves)
    {
        if (moves.IsEmpty)
        {
            return;
        }

        var field = new SealWriter();
        field.Varint((uint)moves.Length);
        foreach (var move in moves)
        {
            field.Varint((uint)move.Other.Shard.Value);
            field.UInt64(move.Other.Group);
            field.Byte((byte)move.Phase);
            field.Varint((uint)move.Slots);
            field.Varint(move.RecordsDone);
            field.Varint(move.RecordsTotal);
        }

        to.Varint((uint)tag);
        to.Bytes(field.Written);
    }

    private static ImmutableArray<MoveProgress> ReadMoves(ref SealReader from)
    {
        var moves = new MoveProgress[from.Count(MaxMoves, minBytes: 13)];
        for (var i = 0; i < moves.Length; i++)
        {
            var other = new ShardKey(new ShardId((int)from.Varint(MaxShard)), from.UInt64());
            moves[i] = new MoveProgress(other, (MovePhase)from.Byte(), (int)from.Varint(Slot.Count), from.Varint(ulong.MaxValue), from.Varint(ulong.MaxValue));
        }

        return ImmutableArray.Create(moves);
    }

    // A field of its own, since releases before it read the moves without: bytes and beginning of each, in the same order.
    private static void WriteAmounts(SealWriter to, int tag, ImmutableArray<MoveProgress> moves)
    {
        if (moves.All(static m => m is { Bytes: 0, BeganMs: 0 }))
        {
            return;
        }

        var field = new SealWriter();
        foreach (var move in moves)
        {
            field.Varint(move.Bytes);
            field.Varint(move.BeganMs);
        }

        to.Varint((uint)tag);
        to.Bytes(field.Written);
    }

    private static ImmutableArray<MoveProgress> ReadAmounts(ref SealReader from, ImmutableArray<MoveProgress> moves)
    {
        var known = new MoveProgress[moves.Length];
        for (var i = 0; i < known.Length; i++)
        {
            known[i] = moves[i] with { Bytes = from.Varint(ulong.MaxValue), BeganMs = from.Varint(ulong.MaxValue) };
        }

        return ImmutableArray.Create(known);
    }
}
