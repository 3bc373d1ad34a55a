using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Node;

/// <summary>A move of slots as one of its ends sees it.</summary>
/// <param name="Other">The shard at the other end.</param>
/// <param name="IsIncoming">The slots come to the shard that tells of it.</param>
/// <param name="Stage">How far it is: <c>offering</c>, <c>comparing</c>, <c>staging</c>, <c>catching-up</c>, <c>prepared</c>, <c>frozen</c>, <c>ending</c>.</param>
/// <param name="Slots">How many slots move; 0 once it is decided.</param>
/// <param name="Records">Records sent so far, by the present leader, or staged.</param>
/// <param name="RecordsTotal">Records to move, about; 0 if not known.</param>
/// <param name="Bytes">Bytes sent so far, by the present leader; 0 at the target.</param>
/// <param name="BeganMs">The shard's log time when it began, in milliseconds since the Unix epoch; 0 if not known.</param>
public sealed record MoveView(ShardId Other, bool IsIncoming, string Stage, int Slots, long Records, long RecordsTotal, long Bytes, long BeganMs)
{
    /// <summary>All stages, in the order in which a move goes through them.</summary>
    public static IReadOnlyList<string> Stages { get; } = ["offering", "comparing", "staging", "catching-up", "prepared", "frozen", "ending"];

    /// <summary>Of moves as a descriptor has them.</summary>
    internal static IReadOnlyList<MoveView> Of(IReadOnlyCollection<MoveProgress> outgoing, IReadOnlyCollection<MoveProgress> incoming) =>
        outgoing.Count + incoming.Count == 0 ? [] : [.. outgoing.Select(static m => Of(m, isIncoming: false)), .. incoming.Select(static m => Of(m, isIncoming: true))];

    private static MoveView Of(MoveProgress move, bool isIncoming) => new(
        move.Other.Shard, isIncoming, NameOf(move.Phase), move.Slots, Number(move.RecordsDone), Number(move.RecordsTotal), Number(move.Bytes), Number(move.BeganMs));

    private static string NameOf(MovePhase phase) => phase switch
    {
        MovePhase.Offering => "offering",
        MovePhase.Comparing => "comparing",
        MovePhase.Staging => "staging",
        MovePhase.CatchingUp => "catching-up",
        MovePhase.Prepared => "prepared",
        MovePhase.Frozen => "frozen",
        _ => "ending",
    };

    // From another node, so any number.
    private static long Number(ulong told) => (long)Math.Min(told, long.MaxValue);
}
