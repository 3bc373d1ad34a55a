using Flotilla.Raft.Progress;

namespace Flotilla.Raft;

/// <content>
/// Entries that travel along a chain: the leader sends them to the first of <see cref="Chain"/> alone, with a route, and each
/// follower passes on to the next what it appends. So a leader sends every entry once, however many followers there are.
/// <para><b>Relaying moves bytes, not authority.</b> What is passed on is an AppendEntries of the leader of that term, with that leader's name and term, its previous
/// entry, its commit index and its round; fewer entries at most. A receiver deals with it as if the leader had sent it, and
/// answers the leader.</para>
/// <para><b>Why it is safe.</b> Raft asks nothing of the network but that what arrives was sent: messages may be late, lost, doubled and in
/// any order (the paper, 5.1 and figure 2). A message that was passed on is one that came by a longer way, and was late. Its term fences it
/// (hazard 49): what an old leader's followers still pass on is refused by whoever knows a newer term, and the old leader is told.
/// The previous entry's term fences its entries (hazard 45): it is never by a commit index that a log is cut. A follower's answer says what is durable at
/// that follower and nothing of those before it in the chain, so who counts for a majority is what it was. Its round says that the follower was in
/// the leader's term after the round began, which is all that a read asks (<c>Raft.Reads.cs</c>). Nothing is promised by
/// passing on, so it waits for no disk: who passes on and crashes has told nobody anything of itself.</para>
/// <para><b>What is not passed on.</b> Heartbeats, which carry liveness and rounds; snapshots, and whatever brings a follower up to date: they come from the leader.
/// The seat, since only the leader's own words give one back (<c>Identity/</c>).</para>
/// <para><b>Why nobody waits for a relay for ever.</b> Who is not level with the chain, does not answer, or is full is left out of the route and fed by the leader, and the chain closes around it. Of
/// who was to be fed by another and has not acknowledged for <see cref="RaftOptions.RelayStallMs"/>, the leader asks by a heartbeat whether the oldest such message came.
/// A slow disk says yes, and nothing is sent twice; who lacks it refuses, as after any lost message, and is fed by the leader for a second,
/// each time that it happens again for twice as long, up to a minute. A message that comes behind a lost one is refused at once, without waiting.</para>
/// </content>
public sealed partial class Raft
{
    /// <summary>
    /// In which order entries travel from this leader; not itself. Empty (the default): it sends them to everybody. Who is not in
    /// it, or no follower, is sent to as ever. May change at any time: what is under way keeps its route.
    /// </summary>
    public IReadOnlyList<NodeId> Chain { get; set; } = [];

    /// <summary>The members of <see cref="Chain"/> that this leader feeds itself for a while, since what another was to pass on to them did not come.</summary>
    public IReadOnlyList<NodeId> FedAround =>
        [.. Chain.Where(link => FollowerOf(link) is { } follower && follower.RelayAgainAt > _now)];

    private Instant ChainDeadline
    {
        get
        {
            var next = Instant.Never;
            if (Chain.Count > 0)
            {
                foreach (var follower in _followers)
                {
                    if (follower.OldestRelayed is { } oldest && oldest.Last > follower.AskedFor)
                    {
                        next = Instant.Min(next, oldest.SentAt.PlusMs(_options.RelayStallMs));
                    }
                }
            }

            return next;
        }
    }

    /// <summary>Whose words a message is: its leader's, whoever carried it.</summary>
    private static NodeId SpeakerOf(NodeId from, Message message) => message is AppendEntries { Leader: { IsNone: false } leader } ? leader : from;

    /// <summary>Those to whom what goes to <paramref name="first"/> now is passed on, from one to the next. It counts as sent to each of them.</summary>
    private List<NodeId> RouteBehind(Follower first, LogIndex last, int bytes)
    {
        var route = new List<NodeId>();
        if (Chain.Count == 0 || !first.MayBeFedByOthers(first.Next, _options, _termStart, _now))
        {
            return route;
        }

        var isBehind = false;
        foreach (var link in Chain)
        {
            if (link == first.Id)
            {
                isBehind = true;
            }
            else if (isBehind && FollowerOf(link) is { } next && next.MayBeFedByOthers(first.Next, _options, _termStart, _now))
            {
                next.Sent(last, bytes, _now, isRelayed: true);
                route.Add(link);
            }
        }

        return route;
    }

    /// <summary>Asks whoever has not acknowledged for too long what another was to pass on whether it came.</summary>
    private void AskBehindRelays()
    {
        if (_now < ChainDeadline)
        {
            return;
        }

        foreach (var follower in _followers)
        {
            if (follower.OldestRelayed is { } oldest && oldest.Last > follower.AskedFor && _now.MsSince(oldest.SentAt) >= _options.RelayStallMs)
            {
                follower.AskedFor = oldest.Last;
                SendHeartbeat(follower);
            }
        }
    }

    /// <summary>Passes on what was appended, up to <paramref name="verified"/>, if the leader wishes so.</summary>
    private void PassOn(NodeId leader, AppendEntries request, LogIndex verified)
    {
        var kept = (int)Math.Min(verified - request.PrevLogIndex, (ulong)request.Entries.Count);
        if (kept == 0 || request.Route.Count == 0 || request.Route[0] == _self || request.Route[0] == leader)
        {
            return;
        }

        Send(
            request.Route[0],
            request with
            {
                Leader = leader,
                Seat = default,
                Entries = kept == request.Entries.Count ? request.Entries : [.. request.Entries.Take(kept)],
                Route = [.. request.Route.Skip(1)],
            },
            default);
    }
}
