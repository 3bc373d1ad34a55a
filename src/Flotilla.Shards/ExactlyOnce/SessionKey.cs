using Flotilla.Raft;

namespace Flotilla.Shards.ExactlyOnce;

/// <summary>
/// Where a session stands in a shard's table: among the shard's own, or beside them, copied in with slots that it answers for
/// and with no others (docs/handoff.md, "Sessions").
/// </summary>
/// <param name="Lineage">0 for an own session; else which slots it came with.</param>
/// <param name="Origin">The group that opened it; none for an own session.</param>
/// <param name="Id">Its id there.</param>
internal readonly record struct SessionKey(int Lineage, GroupId Origin, SessionId Id) : IComparable<SessionKey>
{
    /// <summary>The key of a session that this shard opened.</summary>
    public static SessionKey Own(SessionId id) => new(0, default, id);

    /// <summary>Own sessions first, by age; then copies by what they came with.</summary>
    public int CompareTo(SessionKey other)
    {
        var c = Lineage.CompareTo(other.Lineage);
        if (c == 0)
        {
            c = Origin.Value.CompareTo(other.Origin.Value);
        }

        return c == 0 ? Id.CompareTo(other.Id) : c;
    }
}
