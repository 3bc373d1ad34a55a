using System.Runtime.CompilerServices;
using Flotilla.Node.Cluster;
using Flotilla.Node.Watching;
using Flotilla.Raft;
using Flotilla.Raft.Membership;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Node.Loops;

/// <summary>
/// One replica on this node and what the shell keeps beside it. But for <see cref="View"/>, everything belongs to the
/// thread of its loop.
/// </summary>
internal sealed class HostedReplica
{
    private readonly NodeId _self;
    private Instant _published;
    private volatile ReplicaView _view;
    private volatile LeaderElsewhere? _preferred;
    private volatile StrongBox<(Configuration, bool)> _configuration;
    private LogIndex _toldCommitted;
    private Told? _told;
    private volatile ShardState _state;
    private volatile bool _givesSlots;
    private ulong _home; // The digest of the ring by which all slots are where they should be; 0 for none. One writer.
    private LogIndex? _tellBeyond;
    private readonly MoveBook _moves = new();
    private bool _tellsUrgently;

    public HostedReplica(ShardGenesis genesis, NodeId self, Replica replica)
    {
        _self = self;
        Genesis = genesis;
        Replica = replica;
        Feed = new WatchFeed(replica.Events, replica.LastApplied);
        _view = MakeView();
        _configuration = MakeConfiguration();
        _state = replica.Ownership.State;
    }

    /// <summary>The shard as genesis made it.</summary>
    public ShardGenesis Genesis { get; }

    /// <summary>The replica.</summary>
    public Replica Replica { get; }

    /// <summary>The loop that owns it; set once, before the loop gets it.</summary>
    public ShardLoop Loop { get; set; } = null!;

    /// <summary>What those who watch see of it. Any thread.</summary>
    public WatchFeed Feed { get; }

    /// <summary>Calls not answered yet.</summary>
    public CallTable Calls { get; } = new();

    /// <summary>It was taken away: the loop steps it no more, and what still comes for it is dropped.</summary>
    public bool IsGone { get; set; }

    /// <summary>Got an input in this pass.</summary>
    public bool Touched { get; set; }

    /// <summary>The replica's <see cref="Replica.NextDeadline"/> after its last flush: only inputs change it, and after each comes a flush.</summary>
    public Instant Deadline { get; set; } = Instant.Never;

    /// <summary>What the last flush led to; valid until the next one.</summary>
    public ReplicaOutput Output { get; set; } = new();

    /// <summary>The newest persist that asked for a sync. A send that waits for a later one asks for a sync of its own.</summary>
    public PersistSequence SyncAsked { get; set; }

    /// <summary>The WAL thread's own: the newest persist appended.</summary>
    public PersistSequence Appended { get; set; }

    /// <summary>The WAL thread's own: <see cref="Appended"/> has not been reported yet.</summary>
    public bool ReportDue { get; set; }

    /// <summary>It has been told that another data directory holds its seat, and the view does not say so yet.</summary>
    public bool LostItsSeat => Replica.Raft.SeatIsTaken && !_view.SeatIsTaken;

    /// <summary>The configuration in force here a moment ago, and whether it was known to be committed. Any thread.</summary>
    public (Configuration Configuration, bool IsCommitted) Configuration => _configuration.Value;

    /// <summary>What this replica looked like a moment ago. Any thread.</summary>
    public ReplicaView View => _view;

    /// <summary>Where the shard stands in its life, as applied here a moment ago. Any thread.</summary>
    public ShardState State => _state;

    /// <summary>This replica leads, and slots are on their way from here, or what is left of them is being purged. Any thread.</summary>
    public bool GivesSlots => _givesSlots;

    /// <summary>A look at this ring found nothing to move, and nothing has changed since. Any thread.</summary>
    public bool IsAtHome(Ring ring) => Volatile.Read(ref _home) == ring.Digest && ring.Members.Count > 0;

    /// <summary>What a look at a ring found; on the loop's thread.</summary>
    public void NoteHome(Ring ring, bool isHome) => Volatile.Write(ref _home, isHome ? ring.Digest : 0);

    /// <summary>Another configuration is in force, and the node was not told yet.</summary>
    public bool Reconfigured { get; set; }

    /// <summary>
    /// How many entries another voter lacks, as known to this replica a moment ago; means something only while it leads. One that is asked
    /// about for the first time lacks everything. Any thread, but one at a time.
    /// </summary>
    public ulong LagOf(NodeId voter)
    {
        if (_preferred is { } known && known.Node == voter)
        {
            return Volatile.Read(ref known.Lag);
        }

        _preferred = new LeaderElsewhere(voter);

        // A quiet one is not stepped for long, and says nothing until then.
        Loop.Inbox.Post(LoopInput.ForAct(this, static (_, _) => { }));
        return ulong.MaxValue;
    }

    /// <summary>True once for every configuration that comes into force, and once more when it is known to be committed.</summary>
    public bool TakeReconfigured()
    {
        var committed = Replica.Raft.CommittedConfiguration.Index;
        var news = Reconfigured || committed != _toldCommitted;
        Reconfigured = false;
        _toldCommitted = committed;
        return news;
    }

    /// <summary>What is applied here says of the shard; null unless something of it changed since the last time, or was asked for anew.</summary>
    public AppliedShard? TakeNews(Instant now)
    {
        var raft = Replica.Raft;
        var ownership = Replica.Ownership;
        var leads = raft.Role == Role.Leader && Replica.LastTerm == raft.Term;
        _givesSlots = leads && ownership.State != ShardState.Retired && !(ownership.Leaving.IsEmpty && ownership.ToPurge.IsEmpty);
        _moves.Note(Replica, leads, now);
        var told = new Told(leads, leads ? raft.Term : default, _toldCommitted, ownership.State, ownership.Weight, ownership.Slots, MoveBook.SignOf(ownership), ownership.Mode, ownership.OutOfSync.Count == 0 ? "" : string.Join(',', ownership.OutOfSync));
        if (told == _told && !(leads && _tellBeyond is { } index && Replica.LastApplied > index))
        {
            return null;
        }

        var isUrgent = told != _told || _tellsUrgently;
        (_told, _tellBeyond, _tellsUrgently) = (told, null, false);
        Volatile.Write(ref _home, 0);
        _state = ownership.State;
        return Applied() with { IsUrgent = isUrgent };
    }

    /// <summary>What is applied here says of the shard.</summary>
    public AppliedShard Applied()
    {
        var raft = Replica.Raft;
        var ownership = Replica.Ownership;
        var (index, configuration) = raft.CommittedConfiguration;
        return new AppliedShard(
            new ShardKey(Genesis.Shard, Genesis.Group.Value), new DescriptorVersion(Replica.LastTerm.Value, Replica.LastApplied.Value), raft.Role == Role.Leader && Replica.LastTerm == raft.Term,
            ownership.State, ownership.Weight, index, configuration, ownership.Slots, _moves.Outgoing(Replica), _moves.Incoming(Replica))
        {
            Mode = ownership.Mode,
            InSync = ownership.Mode == ShardMode.Raft ? null : Replica.InSync,
        };
    }

    /// <summary>What was told up to an entry has to be told again under a later one, which is made if there is none: of two descriptors of one version neither is newer.</summary>
    /// <param name="index">The entry.</param>
    /// <param name="isUrgent">To be told to everybody at once.</param>
    /// <param name="clock">The time.</param>
    public void TellBeyond(LogIndex index, bool isUrgent, ClockReading clock)
    {
        _tellBeyond = index;
        _tellsUrgently |= isUrgent;
        if (Replica.Raft.Log.LastIndex <= index)
        {
            Replica.ProposeTime(clock);
        }
    }

    /// <summary>Publishes a new <see cref="View"/>, at most every 50 ms unless something important changed.</summary>
    public void Publish(Instant now, bool important)
    {
        if (important || now.MsSince(_published) >= 50)
        {
            _published = now;
            _view = MakeView();
            if (important)
            {
                _configuration = MakeConfiguration();
            }

            if (_preferred is { } other)
            {
                Volatile.Write(ref other.Lag, Replica.Raft.Log.LastIndex.Value - Replica.Raft.MatchOf(other.Node).Value);
            }
        }
    }

    private StrongBox<(Configuration, bool)> MakeConfiguration() =>
        new((Replica.Raft.Configuration, Replica.Raft.ConfigurationIndex <= Replica.Raft.CommitIndex));

    private ReplicaView MakeView()
    {
        var raft = Replica.Raft;
        var (_, configuration) = raft.CommittedConfiguration;
        var standing = StandingOf(raft);
        return new ReplicaView(
            Genesis.Shard, standing == Standing.Learner && raft.Role == Role.Follower ? Role.Learner : raft.Role, raft.Term, raft.Leader, raft.CommitIndex, Replica.LastApplied,
            raft.Log.LastIndex, raft.Snapshot?.Index ?? LogIndex.Zero, configuration.Voters, configuration.Learners, raft.Admitted, Replica.Records.Count, Replica.Records.Bytes,
            raft.SeatIsTaken, raft.Log.Base.Index, raft.Awaited, standing, Replica.Ownership.Slots.Count,
            raft.Role == Role.Leader ? MoveView.Of(_moves.Outgoing(Replica), _moves.Incoming(Replica)) : null)
        {
            IsQuiet = raft.IsQuiet,
        };
    }

    private Standing StandingOf(Raft.Raft raft) => raft.Configuration.Find(_self) switch
    {
        // One that never took part has nothing to be removed from: its directory is new, or was wiped.
        _ when raft.IsRemoved && raft.Admitted => Standing.Removed,
        { Suffrage: not Suffrage.Learner } => Standing.Voter,
        { } => Standing.Learner,

        // One that no entry has told of any member yet was made because a leader has a seat for it.
        null => raft.ConfigurationIndex == LogIndex.Zero ? Standing.Learner : Standing.Removed,
    };

    /// <summary>What a descriptor is made anew for, if it changes. Slots are the same object until they change.</summary>
    private sealed record Told(bool Leads, Term Term, LogIndex Configuration, ShardState State, int Weight, SlotEpochs Slots, ulong Moves, ShardMode Mode, string OutOfSync)
    {
        public bool Equals(Told? other) =>
            other is not null && (Leads, Term, Configuration, State, Weight, Moves, Mode, OutOfSync) == (other.Leads, other.Term, other.Configuration, other.State, other.Weight, other.Moves, other.Mode, other.OutOfSync)
            && ReferenceEquals(Slots, other.Slots);

        public override int GetHashCode() => Configuration.GetHashCode();
    }

    /// <summary>A voter that is meant to lead in this one's place.</summary>
    private sealed class LeaderElsewhere(NodeId node)
    {
        public ulong Lag = ulong.MaxValue;

        public NodeId Node => node;
    }
}
