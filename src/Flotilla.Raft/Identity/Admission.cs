namespace Flotilla.Raft.Identity;

/// <summary>
/// Tells a replica that may vote from one that may have forgotten its vote (hazard 17). Source: DESIGN section 4, "Identity".
/// </summary>
/// <remarks>
/// <para>An <i>empty</i> replica never voted and stored no entry. It cannot know whether it is new or wiped, so it asks.
/// Of n initial replicas, a shard that ever committed or elected anything has at least a majority m that are not empty;
/// a wiped one may be among them, so at most n − m <i>others</i> are truly empty. Hence n − m + 1 others that say "empty"
/// prove that the shard never had state, and the asker may take part (n = 1: alone; whoever makes the replica sees to it that a wiped
/// directory then begins a group with another id).</para>
/// <para>Early starters stop being empty before late ones have asked. Therefore a replica stores the asker's incarnation
/// durably before it says "empty", and says so to that incarnation ever after: that incarnation existed before this replica
/// had any state. Another incarnation of the same node finds the seat taken.</para>
/// <para>A replica that starts later still, when the others have begun without it, is admitted once <b>all</b> n − 1 others
/// have begun and have stored its incarnation durably. (One that has not begun may itself have forgotten.) They store one incarnation for ever and count votes and acknowledgements
/// from no other; nor could an earlier incarnation have led, since every vote for it would have stored it. So whatever an
/// earlier one promised, nobody counted.</para>
/// <para>Votes and acknowledgements count only from the stored incarnation, and only once it is stored durably.</para>
/// </remarks>
internal sealed class Admission
{
    private readonly NodeId _self;
    private readonly Incarnation _incarnation;
    private readonly NodeId[] _others;
    private readonly SortedDictionary<NodeId, KnownPeer> _known = [];
    private readonly HashSet<NodeId> _saidEmpty = [];
    private readonly HashSet<NodeId> _storedThis = [];

    /// <param name="self">This node.</param>
    /// <param name="incarnation">Its data directory.</param>
    /// <param name="others">The other initial voters.</param>
    /// <param name="isInitial">This node is an initial voter itself; one that joins later is admitted by being given a seat.</param>
    /// <param name="recovered">What the disk holds.</param>
    public Admission(NodeId self, Incarnation incarnation, NodeId[] others, bool isInitial, IdentityState recovered)
    {
        _self = self;
        _incarnation = incarnation;
        _others = others;
        IsInitial = isInitial;
        Admitted = recovered.Admitted || (isInitial && others.Length == 0);
        foreach (var peer in recovered.Known)
        {
            _known[peer.Peer] = peer;
        }

        Known = [.. _known.Values];
    }

    public bool Admitted { get; private set; }

    /// <summary>This node is an initial voter: only then do the others' answers admit it.</summary>
    public bool IsInitial { get; }

    /// <summary>The last peer that answered has another incarnation stored for this node.</summary>
    public bool SeatIsTaken { get; private set; }

    /// <summary>While not admitted, in a group that begins with this replica: the others that have not answered since this start, ordered.</summary>
    public IReadOnlyList<NodeId> Awaited => Admitted || !IsInitial ? [] : [.. _others.Where(other => !_saidEmpty.Contains(other) && !_storedThis.Contains(other))];

    /// <summary>What vote grants list. A new list at each change, so that messages may keep it.</summary>
    public IReadOnlyList<KnownPeer> Known { get; private set; }

    public IdentityState State => new(Admitted, Known);

    /// <summary>The initial voters but this one.</summary>
    public IReadOnlyList<NodeId> Others => _others;

    /// <summary>A leader has told this very incarnation that the seat is its own.</summary>
    public void Admit()
    {
        Admitted = true;
        SeatIsTaken = false;
    }

    /// <summary>The incarnation that is stored for a peer, or none.</summary>
    public Incarnation Stored(NodeId peer) => _known.TryGetValue(peer, out var known) ? known.Incarnation : default;

    /// <summary>Stores a peer's incarnation at first contact. False if another one is stored: its messages count for nothing.</summary>
    public bool Meet(NodeId peer, Incarnation incarnation, bool selfIsEmpty, out bool changed)
    {
        changed = false;
        if (_known.TryGetValue(peer, out var known))
        {
            return known.Incarnation == incarnation;
        }

        _known[peer] = new KnownPeer(peer, incarnation, selfIsEmpty);
        Known = [.. _known.Values];
        changed = true;
        return true;
    }

    /// <summary>The answer to "are you empty too?" from an incarnation that <see cref="Meet"/> has seen.</summary>
    public (bool Empty, Incarnation Stored) Answer(NodeId asker, Incarnation incarnation)
    {
        return _known.TryGetValue(asker, out var known) ? (known.Incarnation == incarnation && known.ToldEmpty, known.Incarnation) : default;
    }

    /// <summary>A peer answered. True if this replica is admitted by it.</summary>
    public bool Answered(NodeId peer, bool empty, bool begun, Incarnation stored)
    {
        SeatIsTaken = stored != _incarnation;
        if (Admitted || SeatIsTaken || !IsInitial)
        {
            return false;
        }

        if (begun)
        {
            _storedThis.Add(peer);
        }

        if (empty)
        {
            _saidEmpty.Add(peer);
        }

        var voters = _others.Length + 1;
        Admitted = _saidEmpty.Count >= voters - Quorum.Majority.Of(voters) + 1 || _storedThis.Count == _others.Length;
        return Admitted;
    }

    /// <summary>
    /// Whether a list of stored incarnations, sent along with a vote, contradicts that <paramref name="voter"/> is
    /// <paramref name="incarnation"/>.
    /// </summary>
    public static bool Contradicts(IReadOnlyList<KnownPeer> known, NodeId voter, Incarnation incarnation)
    {
        foreach (var peer in known)
        {
            if (peer.Peer == voter && peer.Incarnation != incarnation)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Whether a grant says that this very replica's seat belongs to another incarnation.</summary>
    public bool ContradictsSelf(IReadOnlyList<KnownPeer> known) => Contradicts(known, _self, _incarnation);
}
