namespace Flotilla.Raft.Membership;

/// <summary>What part a member has in its group. Explicit and append-only: the values are on disk and on the wire.</summary>
public enum Suffrage : byte
{
    /// <summary>Votes; in a joint configuration in both halves.</summary>
    Voter = 0,

    /// <summary>Receives the log without a vote, until it is promoted.</summary>
    Learner = 1,

    /// <summary>Votes in the new half of a joint configuration only: it is being promoted.</summary>
    Incoming = 2,

    /// <summary>Votes in the old half of a joint configuration only: it is being removed.</summary>
    Outgoing = 3,
}

/// <summary>A seat in a configuration.</summary>
/// <param name="Id">The node.</param>
/// <param name="Suffrage">Its part.</param>
/// <param name="Incarnation">The only data directory that may sit here; none for a first member that nobody had met when the configuration was made (then the one first met counts).</param>
/// <param name="Address">Where its peers reach it, as the operator gave it; opaque here. Empty for a first member: genesis says it.</param>
public readonly record struct Member(NodeId Id, Suffrage Suffrage, Incarnation Incarnation, string Address)
{
    /// <inheritdoc/>
    public override string ToString() => Suffrage switch
    {
        Suffrage.Learner => $"{Id}?",
        Suffrage.Incoming => $"+{Id}",
        Suffrage.Outgoing => $"-{Id}",
        _ => $"{Id}",
    };
}

/// <summary>A seat that was taken away from a data directory.</summary>
/// <param name="Id">The node.</param>
/// <param name="Incarnation">Its data directory; none if nobody ever met it.</param>
public readonly record struct RemovedSeat(NodeId Id, Incarnation Incarnation);

/// <summary>
/// Who belongs to a group (Raft paper, section 6; dissertation, chapter 4). Immutable. A joint configuration has two
/// halves, C-old and C-new, and everything needs a majority of each.
/// </summary>
/// <remarks>
/// Invariants: members are ordered by id and unique; there is a voter in each half, but for the empty configuration that a
/// replica has before it is told of any; at most <see cref="MaxMembers"/>. Learners are no part of a half: adding or removing
/// one needs no joint configuration, since no majority changes.
/// </remarks>
public sealed class Configuration : IEquatable<Configuration>
{
    /// <summary>No group is larger than this.</summary>
    public const int MaxMembers = 64;

    /// <summary>So many removed seats are remembered; older ones are forgotten.</summary>
    public const int MaxRemoved = 32;

    /// <summary>A configuration of these members. Throws <see cref="ArgumentException"/> if they break an invariant.</summary>
    /// <param name="members">The members, in any order.</param>
    /// <param name="removed">Who was removed, by age.</param>
    public Configuration(IEnumerable<Member> members, IEnumerable<RemovedSeat>? removed = null)
    {
        RemovedSeat[] gone = [.. removed ?? []];
        Removed = gone.Length <= MaxRemoved ? gone : gone[^MaxRemoved..];
        Member[] ordered = [.. members.OrderBy(member => member.Id)];
        Members = ordered;
        IsJoint = Array.Exists(ordered, member => member.Suffrage is Suffrage.Incoming or Suffrage.Outgoing);
        Voters = Of(ordered, Suffrage.Voter, Suffrage.Incoming);
        OldVoters = IsJoint ? Of(ordered, Suffrage.Voter, Suffrage.Outgoing) : [];
        Learners = Of(ordered, Suffrage.Learner, Suffrage.Learner);
        for (var i = 1; i < ordered.Length; i++)
        {
            if (ordered[i].Id == ordered[i - 1].Id)
            {
                throw new ArgumentException($"Node {ordered[i].Id} is listed twice.", nameof(members));
            }
        }

        if (ordered.Length > MaxMembers || (ordered.Length > 0 && (Voters.Count == 0 || (IsJoint && OldVoters.Count == 0))))
        {
            throw new ArgumentException($"A configuration has 1 to {MaxMembers} members and a voter in each half, not [{string.Join(' ', ordered)}].", nameof(members));
        }
    }

    /// <summary>What a replica knows before it is told of any configuration.</summary>
    public static Configuration None { get; } = new([]);

    /// <summary>All members, ordered by id.</summary>
    public IReadOnlyList<Member> Members { get; }

    /// <summary>The voters; in a joint configuration those of C-new.</summary>
    public IReadOnlyList<NodeId> Voters { get; }

    /// <summary>The voters of C-old; empty unless joint.</summary>
    public IReadOnlyList<NodeId> OldVoters { get; }

    /// <summary>Those without a vote.</summary>
    public IReadOnlyList<NodeId> Learners { get; }

    /// <summary>
    /// The seats that were taken away on purpose, by age, until somebody is added under that id again: whoever fills empty seats by itself
    /// leaves these data directories out.
    /// </summary>
    public IReadOnlyList<RemovedSeat> Removed { get; }

    /// <summary>A change is under way: majorities of both halves are needed.</summary>
    public bool IsJoint { get; }

    /// <summary>The first configuration of a group: these voters, whose incarnations nobody knows yet.</summary>
    public static Configuration Genesis(IEnumerable<NodeId> voters) => new(voters.Select(id => new Member(id, Suffrage.Voter, default, "")));

    /// <summary>The member with this id, or null.</summary>
    public Member? Find(NodeId id)
    {
        foreach (var member in Members)
        {
            if (member.Id == id)
            {
                return member;
            }
        }

        return null;
    }

    /// <summary>It has a vote, in one half or both.</summary>
    public bool IsVoter(NodeId id) => Find(id) is { Suffrage: not Suffrage.Learner };

    /// <summary>With a learner more. It must not be a member.</summary>
    public Configuration Adding(NodeId id, Incarnation incarnation, string address) =>
        new(Members.Append(new Member(id, Suffrage.Learner, incarnation, address)), Removed.Where(seat => seat.Id != id));

    /// <summary>The joint configuration that makes a learner a voter.</summary>
    public Configuration Promoting(NodeId learner) => new(Members.Select(m => m.Id == learner ? m with { Suffrage = Suffrage.Incoming } : m), Removed);

    /// <summary>Without a member: the joint configuration for a voter, and simply without for a learner.</summary>
    public Configuration Removing(NodeId id) => IsVoter(id)
        ? new(Members.Select(m => m.Id == id ? m with { Suffrage = Suffrage.Outgoing } : m), Removed)
        : new(Members.Where(m => m.Id != id), Removed.Concat(Members.Where(m => m.Id == id).Select(m => new RemovedSeat(m.Id, m.Incarnation))));

    /// <summary>C-new: the end of a joint configuration.</summary>
    public Configuration LeavingJoint() =>
        new(Members.Where(m => m.Suffrage != Suffrage.Outgoing).Select(m => m.Suffrage == Suffrage.Incoming ? m with { Suffrage = Suffrage.Voter } : m),
            Removed.Concat(Members.Where(m => m.Suffrage == Suffrage.Outgoing).Select(m => new RemovedSeat(m.Id, m.Incarnation))));

    /// <summary>With the incarnations that <paramref name="known"/> tells for seats that have none yet.</summary>
    public Configuration Seating(Func<NodeId, Incarnation> known) =>
        new(Members.Select(m => m.Incarnation.IsNone ? m with { Incarnation = known(m.Id) } : m), Removed);

    /// <inheritdoc/>
    public bool Equals(Configuration? other) => other is not null && Members.SequenceEqual(other.Members) && Removed.SequenceEqual(other.Removed);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as Configuration);

    /// <inheritdoc/>
    public override int GetHashCode() => Members.Count;

    /// <inheritdoc/>
    public override string ToString() => string.Join(' ', Members);

    private static NodeId[] Of(Member[] members, Suffrage one, Suffrage other) =>
        [.. members.Where(member => member.Suffrage == one || member.Suffrage == other).Select(member => member.Id)];
}
