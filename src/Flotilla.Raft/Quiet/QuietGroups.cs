using Flotilla.Raft.Membership;

namespace Flotilla.Raft.Quiet;

/// <summary>
/// The quiet groups of one loop (<c>Raft.Quiet.cs</c>): to which nodes its heartbeat has to go, whose heartbeats it relies on, and who
/// has been silent for too long. Sans-I/O as the groups themselves: the host sends what <see cref="TakeBeat"/> says, reports what it
/// heard, and wakes what <see cref="TakeSilent"/> names. Not thread-safe: the loop's own.
/// </summary>
/// <param name="self">This node, to which no heartbeats go.</param>
/// <param name="options">The times of the groups: all the same.</param>
/// <typeparam name="T">How the host calls a group.</typeparam>
/// <remarks>
/// Invariants: exactly the groups whose replica was quiet when last noted are kept; a node is sent heartbeats as long as it is a member of
/// some group that is led quietly here, or leads one that is quiet here. So both ends know of each other: a leader that no majority
/// of its members can tell anything (it is deaf) is as useless as one that can tell them nothing, and wakes to find out
/// (CheckQuorum). A loop all of whose groups are quiet beats half as often, which is still three times in an election timeout.
/// </remarks>
public sealed class QuietGroups<T>(NodeId self, RaftOptions options)
    where T : class
{
    private readonly Dictionary<T, Standing> _standings = [];
    private readonly SortedList<NodeId, Peer> _peers = []; // Gone through in each pass of the loop: without allocating.
    private readonly List<Source> _sources = [];
    private readonly List<T> _led = [];
    private Instant _nextBeat = Instant.Never;

    /// <summary>How many groups are quiet.</summary>
    public int Count => _standings.Count;

    /// <summary>When <see cref="TakeBeat"/> or <see cref="TakeSilent"/> has something to do.</summary>
    public Instant NextDeadline
    {
        get
        {
            var next = _nextBeat;
            foreach (var source in _sources)
            {
                next = Instant.Min(next, source.LastHeard.PlusMs(options.ElectionTimeoutMs));
            }

            for (var i = 0; i < _peers.Count; i++)
            {
                var peer = _peers.GetValueAtIndex(i);
                next = peer.Led > 0 && !peer.IsSilent ? Instant.Min(next, peer.LastHeard.PlusMs(options.ElectionTimeoutMs)) : next;
            }

            return next;
        }
    }

    /// <summary>A group was stepped: whether it is quiet, and by whose word, may have changed. To be called after each step.</summary>
    public void Note(T group, Raft raft, Instant now)
    {
        ArgumentNullException.ThrowIfNull(raft);
        var known = _standings.GetValueOrDefault(group);
        if (!raft.IsQuiet)
        {
            Forget(group, known);
            return;
        }

        var leads = raft.Role == Role.Leader;
        if (known is null || known.Term != raft.Term || (known.Source is null) != leads || !ReferenceEquals(known.Configuration, raft.Configuration)
            || (known.Source is { } old && !old.Is(raft.Leader, raft.LeaderPulse)))
        {
            Forget(group, known);
            known = new Standing(raft.Term, raft.Configuration, leads ? null : SourceOf(raft.Leader, raft.LeaderPulse));
            _standings.Add(group, known);
            (known.Source?.Groups ?? _led).Add(group);
            foreach (var node in PeersOf(known))
            {
                Share(node, leads ? 1 : 0, now);
            }
        }

        // What the leader said to this group shows as well that its loop lives.
        known.Source?.Hear(raft.LastLeaderContact);
    }

    /// <summary>A group has no replica here any more.</summary>
    public void Forget(T group) => Forget(group, _standings.GetValueOrDefault(group));

    /// <summary>If a heartbeat is due: to whom. The one after it is due sooner while some group of the loop is awake.</summary>
    /// <param name="now">The time.</param>
    /// <param name="someAreAwake">Some replica of the loop is not quiet.</param>
    /// <param name="to">Filled with the nodes, in order.</param>
    public bool TakeBeat(Instant now, bool someAreAwake, List<NodeId> to)
    {
        ArgumentNullException.ThrowIfNull(to);
        if (now < _nextBeat)
        {
            return false;
        }

        to.AddRange(_peers.Keys);
        var slowMs = Math.Min(2.0 * options.HeartbeatMs, options.ElectionTimeoutMs / 3.0);
        _nextBeat = now.PlusMs(someAreAwake ? Math.Min(options.HeartbeatMs, slowMs) : slowMs);
        return true;
    }

    /// <summary>A heartbeat of a node was heard; the latest counts.</summary>
    public void Heard(NodeId node, Pulse pulse, Instant at)
    {
        foreach (var source in _sources)
        {
            if (source.Is(node, pulse))
            {
                source.Hear(at);
            }
        }

        if (_peers.TryGetValue(node, out var peer))
        {
            peer.Hear(at);
        }
    }

    /// <summary>A heartbeat of whichever loop of a node was heard: a member lives.</summary>
    public void Heard(NodeId node, Instant at)
    {
        if (_peers.TryGetValue(node, out var peer))
        {
            peer.Hear(at);
        }
    }

    /// <summary>The nodes with which this loop shares quiet groups, in order.</summary>
    public IEnumerable<NodeId> Peers => _peers.Keys;

    /// <summary>The heartbeats that groups here rely on: to look up which of them were heard.</summary>
    public IEnumerable<(NodeId Node, Pulse Pulse)> Sources => _sources.Select(static source => (source.Node, source.Pulse));

    /// <summary>When the leader of a quiet group was last heard, by whichever of its groups; <c>null</c> for a group that is awake, or led here.</summary>
    public Instant? LastHeard(T group) => _standings.GetValueOrDefault(group)?.Source?.LastHeard;

    /// <summary>The groups whose leader's loop has been silent for an election timeout: to be told <see cref="Raft.LeaderIsSilent"/>, stepped and noted.</summary>
    public IReadOnlyList<T> TakeSilent(Instant now) => GroupsOf(source => now.MsSince(source.LastHeard) >= options.ElectionTimeoutMs);

    /// <summary>
    /// The groups led quietly here of which a majority of the voters has been silent for an election timeout: to be told
    /// <see cref="Raft.QuorumIsSilent"/>, stepped and noted. Looked at when a node falls silent.
    /// </summary>
    public IReadOnlyList<T> TakeForlorn(Instant now)
    {
        var isNews = false;
        for (var i = 0; i < _peers.Count; i++)
        {
            var peer = _peers.GetValueAtIndex(i);
            var isSilent = peer.Led > 0 && now.MsSince(peer.LastHeard) >= options.ElectionTimeoutMs;
            isNews |= isSilent && !peer.IsSilent;
            peer.IsSilent = isSilent;
        }

        return isNews ? [.. _led.Where(group => IsForlorn(_standings[group].Configuration))] : [];
    }

    /// <summary>A node's process is another one than before: the groups that still rely on an earlier one are to be told the same.</summary>
    public IReadOnlyList<T> TakeOutlived(NodeId node, Incarnation incarnation, ulong boot) =>
        GroupsOf(source => source.Node == node && (source.Pulse.Incarnation != incarnation || source.Pulse.Boot != boot));

    private T[] GroupsOf(Predicate<Source> chosen) => [.. _sources.Where(source => chosen(source)).SelectMany(static source => source.Groups)];

    private bool IsForlorn(Configuration configuration)
    {
        var heard = configuration.Voters.Count(voter => voter == self || (_peers.TryGetValue(voter, out var peer) && !peer.IsSilent));
        return heard < Quorum.Majority.Of(configuration.Voters.Count);
    }

    /// <summary>The other members of a group that is led here; or the leader.</summary>
    private IEnumerable<NodeId> PeersOf(Standing standing) =>
        standing.Source is { } source ? [source.Node] : standing.Configuration.Members.Select(static member => member.Id).Where(id => id != self);

    private void Share(NodeId node, int led, Instant now)
    {
        if (!_peers.TryGetValue(node, out var peer))
        {
            _peers.Add(node, peer = new Peer());
        }

        peer.Shared++;
        peer.Led += led;
        peer.Hear(now); // It agreed, or asked, just now.
        _nextBeat = Instant.Min(_nextBeat, now);
    }

    private void Forget(T group, Standing? standing)
    {
        if (standing is null)
        {
            return;
        }

        _standings.Remove(group);
        if (standing.Source is { } source)
        {
            source.Groups.Remove(group);
            if (source.Groups.Count == 0)
            {
                _sources.Remove(source);
            }
        }
        else
        {
            _led.Remove(group);
        }

        foreach (var node in PeersOf(standing))
        {
            var peer = _peers[node];
            peer.Led -= standing.Source is null ? 1 : 0;
            if (--peer.Shared == 0)
            {
                _peers.Remove(node);
            }
        }

        _nextBeat = _peers.Count == 0 ? Instant.Never : _nextBeat;
    }

    private Source SourceOf(NodeId node, Pulse pulse)
    {
        if (_sources.Find(source => source.Is(node, pulse)) is { } known)
        {
            return known;
        }

        var made = new Source(node, pulse);
        _sources.Add(made);
        return made;
    }

    /// <summary>What was last noted of a quiet group; without a source it is led here.</summary>
    private sealed class Standing(Term term, Configuration configuration, Source? source)
    {
        public Term Term => term;

        public Configuration Configuration => configuration;

        public Source? Source => source;
    }

    /// <summary>One series of heartbeats, and the groups that rely on it.</summary>
    private sealed class Source(NodeId node, Pulse pulse)
    {
        public NodeId Node => node;

        public Pulse Pulse => pulse;

        public Instant LastHeard { get; private set; } = new(long.MinValue / 2);

        public List<T> Groups { get; } = [];

        public bool Is(NodeId otherNode, Pulse otherPulse) => node == otherNode && pulse == otherPulse;

        public void Hear(Instant at) => LastHeard = at >= LastHeard ? at : LastHeard;
    }

    /// <summary>A node with which quiet groups are shared.</summary>
    private sealed class Peer
    {
        /// <summary>How many quiet groups here it leads, or is a member of.</summary>
        public int Shared { get; set; }

        /// <summary>Of how many that are led here it is a member.</summary>
        public int Led { get; set; }

        public Instant LastHeard { get; private set; } = new(long.MinValue / 2);

        /// <summary>It had been silent for too long when last looked at.</summary>
        public bool IsSilent { get; set; }

        public void Hear(Instant at)
        {
            if (at > LastHeard)
            {
                LastHeard = at;
                IsSilent = false;
            }
        }
    }
}
