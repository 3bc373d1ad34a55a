using Flotilla.Raft.Membership;

namespace Flotilla.Raft;

/// <content>
/// Full disks (hazard 16). A replica whose disk is full keeps no new entries; it votes, answers heartbeats, confirms reads and
/// applies what is committed as ever. Its leader is told so in every answer and sends it no entries until an answer says
/// otherwise.
/// <para>Why that is safe. A follower that leaves out the end of a message acts as if a shorter one had come, and acknowledges
/// no more than it holds: AppendEntries of any length are legal (the paper, figure 2). It never removes an entry either to make
/// room or to be left with a gap. What counts as committed, and who may lead, is decided by logs as ever.</para>
/// <para>Why nothing spins. What a full follower lacks stays unsent, but for what a new leader needs first; once that makes no
/// progress, heartbeats alone go on at their own pace and carry the question whether there is room again.</para>
/// <para>A little is kept all the same: entries without a payload, and of others <see cref="RaftOptions.FullDiskBytes"/> in all
/// until there is room again. A new leader serves no read before its no-op is committed; where the disks of a majority are
/// full, that takes them to keep it, and what was under way before it when they ran full.</para>
/// </content>
public sealed partial class Raft
{
    private long _keptWhileFull;

    /// <summary>
    /// This replica's disk is full: it keeps next to no entries, proposes none, and receives no snapshot that it has not begun
    /// to receive. Set by whoever watches the disk; takes effect with the next message.
    /// </summary>
    public bool HasNoRoom
    {
        get;
        set
        {
            _hasToWake |= value && !field;
            field = value;
            _keptWhileFull = value ? _keptWhileFull : 0;
        }
    }

    /// <summary>
    /// A majority of the voters, as far as this leader knows, keeps new entries; without one a proposal could not commit, and is
    /// refused. True where this replica does not lead.
    /// </summary>
    public bool HasRoomToCommit =>
        Role != Role.Leader || (MajorityHasRoom(Configuration.Voters) && (!Configuration.IsJoint || MajorityHasRoom(Configuration.OldVoters)));

    /// <summary>The other members whose disks are full, as far as this leader knows.</summary>
    public IReadOnlyList<NodeId> WithoutRoom => [.. _followers.Where(static follower => follower.HasNoRoom).Select(static follower => follower.Id)];

    private bool MajorityHasRoom(IReadOnlyList<NodeId> voters)
    {
        var room = 0;
        foreach (var voter in voters)
        {
            var isFull = voter == _self ? HasNoRoom : FollowerOf(voter) is { HasNoRoom: true };
            room += isFull ? 0 : 1;
        }

        return room >= Quorum.Majority.Of(voters.Count);
    }

    /// <summary>What of a message is in this log already, and as much behind it as a full disk still takes.</summary>
    private IReadOnlyList<Entry> Affordable(IReadOnlyList<Entry> entries)
    {
        for (var i = 0; i < entries.Count; i++)
        {
            if (Log.TermAt(entries[i].Index) == entries[i].Term)
            {
                continue;
            }

            if (_keptWhileFull + entries[i].Payload.Length > _options.FullDiskBytes)
            {
                return [.. entries.Take(i)];
            }

            _keptWhileFull += entries[i].Payload.Length;
        }

        return entries;
    }
}
