using Flotilla.Raft;
using Flotilla.Shards;

namespace Flotilla.Node.Loops;

/// <summary>
/// One replica on this node and what the shell keeps beside it. But for <see cref="View"/>, everything belongs to the
/// thread of its loop.
/// </summary>
internal sealed class HostedReplica
{
    private Instant _published;
    private volatile ReplicaView _view;
    private ulong _firstVoterLag = ulong.MaxValue;

    public HostedReplica(ShardGenesis genesis, Replica replica)
    {
        Genesis = genesis;
        Replica = replica;
        _view = MakeView();
    }

    /// <summary>The shard as genesis made it.</summary>
    public ShardGenesis Genesis { get; }

    /// <summary>The replica.</summary>
    public Replica Replica { get; }

    /// <summary>The loop that owns it; set once, before the loop starts.</summary>
    public ShardLoop Loop { get; set; } = null!;

    /// <summary>Calls not answered yet.</summary>
    public CallTable Calls { get; } = new();

    /// <summary>Got an input in this pass.</summary>
    public bool Touched { get; set; }

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

    /// <summary>What this replica looked like a moment ago. Any thread.</summary>
    public ReplicaView View => _view;

    /// <summary>How many entries the voter that is meant to lead first lacks, as known to this replica a moment ago; means something only while it leads. Any thread.</summary>
    public ulong FirstVoterLag => Volatile.Read(ref _firstVoterLag);

    /// <summary>Publishes a new <see cref="View"/>, at most every 50 ms unless something important changed.</summary>
    public void Publish(Instant now, bool important)
    {
        if (important || now.MsSince(_published) >= 50)
        {
            _published = now;
            _view = MakeView();
            Volatile.Write(ref _firstVoterLag, Replica.Raft.Log.LastIndex.Value - Replica.Raft.MatchOf(Genesis.Voters[0]).Value);
        }
    }

    private ReplicaView MakeView()
    {
        var raft = Replica.Raft;
        return new ReplicaView(
            Genesis.Shard, raft.Role, raft.Term, raft.Leader, raft.CommitIndex, Replica.LastApplied, raft.Log.LastIndex, raft.Snapshot?.Index ?? LogIndex.Zero,
            raft.Configuration.Voters, raft.Configuration.Learners, raft.Admitted, Replica.Records.Count, Replica.Records.Bytes, raft.SeatIsTaken, raft.Log.Base.Index, raft.Awaited);
    }
}
