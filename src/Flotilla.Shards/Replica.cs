using System.Text;
using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Raft.Membership;
using Flotilla.Shards.Handoff;
using Flotilla.Shards.Image;
using Flotilla.Shards.Modes;
using Flotilla.Shards.Watching;
using Flotilla.Topology;

namespace Flotilla.Shards;

/// <summary>Both clocks of a node at one step: monotonic for timeouts, wall for the stamps of log entries.</summary>
/// <param name="Now">The monotonic clock.</param>
/// <param name="WallMs">Milliseconds since the Unix epoch.</param>
public readonly record struct ClockReading(Instant Now, long WallMs);

/// <summary>A request that the shell made and wants answered. The shell draws the numbers; unique per replica.</summary>
public readonly record struct RequestId(ulong Value);

/// <summary>
/// One replica of one shard as a deterministic state machine: Raft, the state machine, and who waits for what.
/// Commands are gathered by <see cref="Execute"/> and go into the log, many to an entry, at <see cref="Flush"/>.
/// Not thread-safe: one shard loop owns it.
/// </summary>
/// <remarks>
/// <para>The parts: <see cref="Raft"/> decides which entries are committed, <see cref="StateMachine"/> what they mean,
/// <c>WaitingWrites</c> and <c>WaitingReads</c> who is answered what and when (the argument that every answer is definite
/// or says that it is not stands there), <c>CommittedEntries</c> where entries come from.</para>
/// <para>The wall clock is used for one thing: a leader stamps its entries with it, never below an earlier stamp
/// (<c>LogClock</c>). All that depends on time follows from the stamps, on every replica alike (hazard 8).</para>
/// </remarks>
public sealed partial class Replica
{
    private const double ExpiryHorizonMs = 3_600_000;

    private readonly ReplicaOptions _options;
    private readonly NodeId _self;
    private readonly WaitingWrites _writes;
    private readonly WaitingReads _reads;
    private readonly CommittedEntries _committed;
    private readonly LogClock _logClock;
    private readonly List<CommandResult> _results = [];
    private readonly HandoffSeat _handoffs;
    private readonly SnapshotSchedule _snapshots;
    private readonly InSyncGate _inSync;
    private StateMachine _machine;

    // The output that the shell holds is not touched before the next flush: answers that are made meanwhile go to the other.
    private ReplicaOutput _output = new();
    private ReplicaOutput _lastOutput = new();

    private Instant _now;
    private bool _moreToApply;
    private (LogIndex Index, Term Term, long StampMs) _lastProposed;
    private Instant _expiryDeadline = Instant.Never;
    private Instant _nextTimeEntry;

    /// <summary>A replica that starts from what its disk holds; entries up to the commit hint are applied through <see cref="Effect.Fetch"/>.</summary>
    /// <param name="genesis">The shard.</param>
    /// <param name="self">This node, one of the voters.</param>
    /// <param name="incarnation">This node's data directory.</param>
    /// <param name="options">Times and limits.</param>
    /// <param name="recovered">What the disk holds.</param>
    /// <param name="seed">Seeds the election timeouts.</param>
    /// <param name="clock">The time.</param>
    /// <param name="store">An empty engine for the records; null for the copy-on-write tree.</param>
    /// <param name="restored">The state of <see cref="RaftRecovery.Snapshot"/>; null if there is none.</param>
    public Replica(
        ShardGenesis genesis, NodeId self, Incarnation incarnation, ReplicaOptions options, RaftRecovery recovered, ulong seed, ClockReading clock,
        IRecordStore? store = null, StateMachine? restored = null)
    {
        ArgumentNullException.ThrowIfNull(genesis);
        ArgumentNullException.ThrowIfNull(options);
        _options = options;
        _self = self;
        _now = clock.Now;
        _nextTimeEntry = clock.Now;
        if (restored?.LastApplied != recovered.Snapshot?.Index)
        {
            throw new ArgumentException($"The snapshot is of {recovered.Snapshot}, and the state of {restored?.LastApplied}.", nameof(restored));
        }

        _machine = restored ?? new StateMachine(store ?? new BTree(), genesis.Slots, genesis.Mode);
        _machine.Events = new EventLog(options.EventBytes, LastApplied);
        _snapshots = new SnapshotSchedule(options);
        _writes = new WaitingWrites(options);
        _reads = new WaitingReads(options);
        _handoffs = new HandoffSeat(options.Handoffs, genesis.Shard, genesis.Group);
        _committed = new CommittedEntries(self);
        _logClock = new LogClock(clock.Now);
        _inSync = new InSyncGate(options, self);
        Raft = new Raft.Raft(self, incarnation, genesis.Voters, options.Raft, recovered, seed, clock.Now);
    }

    /// <summary>The consensus group, to read its state.</summary>
    public Raft.Raft Raft { get; }

    /// <summary>The last entry that the state machine has applied.</summary>
    public LogIndex LastApplied => _machine.LastApplied;

    /// <summary>The term of that entry; 0 before the first.</summary>
    public Term LastTerm => _machine.LastTerm;

    /// <summary>The newest events. Another object after a snapshot was installed.</summary>
    public EventLog Events => _machine.Events!;

    /// <summary>The log time: the highest stamp applied, in milliseconds since the Unix epoch.</summary>
    public long LogTimeMs => _machine.LogTimeMs;

    /// <summary>The records, to count them. Some may have expired: to read, use <see cref="Get"/> and <see cref="Scan"/>.</summary>
    public IRecordView Records => _machine.Records;

    /// <summary>Commands and reads that have no answer yet; at most <see cref="ReplicaOptions.MaxWaiting"/>.</summary>
    public int Waiting => _writes.Count + _reads.Count;

    /// <summary>When <see cref="Tick"/> and <see cref="Flush"/> have something to do, if nothing else happens.</summary>
    public Instant NextDeadline
    {
        get
        {
            if (_moreToApply || _reads.More)
            {
                return _now;
            }

            var waiting = Instant.Min(_writes.EarliestDeadline, _reads.EarliestDeadline);
            var own = Instant.Min(Instant.Min(_expiryDeadline, _committed.RetryAt), _snapshots.RetryAt);
            return Instant.Min(Instant.Min(Raft.NextDeadline, _handoffs.NextDeadline), Instant.Min(waiting, own));
        }
    }

    /// <summary>A hash of all that was applied: equal on all replicas with the same <see cref="LastApplied"/>. Takes time linear in the data.</summary>
    public ulong StateDigest() => _machine.StateDigest();

    /// <summary>This replica should rather not lead: see <see cref="Raft.Raft.Reluctant"/>.</summary>
    public bool Reluctant
    {
        get => Raft.Reluctant;
        set => Raft.Reluctant = value;
    }

    /// <summary>This replica's disk is full: see <see cref="Raft.Raft.HasNoRoom"/>.</summary>
    public bool HasNoRoom
    {
        get => Raft.HasNoRoom;
        set => Raft.HasNoRoom = value;
    }

    /// <summary>Time has passed.</summary>
    public void Tick(ClockReading clock) => Raft.Tick(clock.Now);

    /// <summary>A message of this group has arrived.</summary>
    public void Receive(NodeId from, Incarnation incarnation, Message message, ClockReading clock) => Raft.Receive(from, incarnation, message, clock.Now);

    /// <summary>Every persist up to <paramref name="sequence"/> is durable.</summary>
    public void Persisted(PersistSequence sequence, ClockReading clock) => Raft.Persisted(sequence, clock.Now);

    /// <summary>Entries asked for by <see cref="Effect.Fetch"/> have been read; none if they could not be, then they are asked for again.</summary>
    public void EntriesFetched(NodeId to, IReadOnlyList<Entry> entries, ClockReading clock)
    {
        ArgumentNullException.ThrowIfNull(entries);
        if (to == _self)
        {
            _committed.Fetched(entries, clock.Now);
        }
        else
        {
            Raft.EntriesFetched(to, entries, clock.Now);
        }
    }

    /// <summary>The dead-leader hint.</summary>
    public void PeerGone(NodeId peer, ClockReading clock) => Raft.PeerGone(peer, clock.Now);

    /// <summary>Hands leadership over, to none for any voter: see <see cref="Raft.Raft.TransferLeadership"/>.</summary>
    public bool TransferLeadership(NodeId target, ClockReading clock) => Raft.TransferLeadership(target, clock.Now);

    /// <summary>Takes a snapshot at the next flush, whatever the length of the log.</summary>
    public void AskForSnapshot() => _snapshots.Asked = true;

    /// <summary>Everything that has been applied here, as it is now, in O(1): for a backup. Any thread may read it afterwards.</summary>
    public StateImage TakeImage() => _machine.TakeImage(ConfigurationCodec.Encode(Raft.ConfigurationAt(_machine.LastApplied)));

    /// <summary>The image of <see cref="ReplicaOutput.Image"/> is in a durable file; null if it could not be written: then another is taken later.</summary>
    public void SnapshotTaken(SnapshotMeta? snapshot, ClockReading clock)
    {
        _snapshots.Ended(snapshot is not null, clock.Now);
        if (snapshot is not null)
        {
            Raft.SnapshotTaken(snapshot, clock.Now);
        }
    }

    /// <summary>See <see cref="Raft.Raft.SnapshotRead"/>.</summary>
    public void SnapshotRead(NodeId to, ulong id, long offset, ReadOnlyMemory<byte> data, uint crc, ClockReading clock) =>
        Raft.SnapshotRead(to, id, offset, data, crc, clock.Now);

    /// <summary>See <see cref="Raft.Raft.SnapshotStored"/>.</summary>
    public void SnapshotStored(ulong id, long nextOffset, ClockReading clock) => Raft.SnapshotStored(id, nextOffset, clock.Now);

    /// <summary>A snapshot that the leader sent is durable.</summary>
    /// <param name="snapshot">The file.</param>
    /// <param name="state">What it holds; this replica's own from here on. Dropped if this replica has gone on beyond it meanwhile.</param>
    /// <param name="configuration">The group's configuration that it holds.</param>
    /// <param name="clock">The time.</param>
    public void SnapshotInstalled(SnapshotMeta snapshot, StateMachine state, Configuration configuration, ClockReading clock)
    {
        ArgumentNullException.ThrowIfNull(snapshot);
        ArgumentNullException.ThrowIfNull(state);
        if (state.LastApplied != snapshot.Index)
        {
            throw new ArgumentException($"The snapshot is of {snapshot}, and the state of {state.LastApplied}.", nameof(state));
        }

        if (state.LastApplied > _machine.LastApplied)
        {
            _machine = state;
            _machine.Events = new EventLog(_options.EventBytes, LastApplied);
            _logClock.Saw(state.LogTimeMs, clock.Now);
            _snapshots.Installed();
        }

        Raft.SnapshotInstalled(snapshot, configuration, clock.Now);
    }

    /// <summary>See <see cref="Raft.Raft.AddMember"/>.</summary>
    public ChangeOutcome AddMember(NodeId id, Incarnation incarnation, string address, ClockReading clock) => Raft.AddMember(id, incarnation, address, clock.Now);

    /// <summary>See <see cref="Raft.Raft.RemoveMember"/>.</summary>
    public ChangeOutcome RemoveMember(NodeId id, ClockReading clock) => Raft.RemoveMember(id, clock.Now);

    /// <summary>Proposes an entry that holds nothing but its stamp, if this replica leads: the applied index moves on by it.</summary>
    public void ProposeTime(ClockReading clock)
    {
        if (Raft.AcceptsProposals)
        {
            Propose(_logClock.Stamp(clock), static stampMs => CommandCodec.Encode(stampMs, []), clock);
        }
    }

    /// <summary>A write. Answered by exactly one <see cref="ReplicaOutput.Replies"/>, at the latest at <paramref name="deadline"/>.</summary>
    /// <param name="id">Names it in the answer.</param>
    /// <param name="command">What to do. Its memory must stay as it is until the next <see cref="Flush"/> returns.</param>
    /// <param name="deadline">When to stop waiting; nothing waits longer than <see cref="ReplicaOptions.MaxWaitMs"/>.</param>
    /// <param name="clock">The time.</param>
    public void Execute(RequestId id, in Command command, Instant deadline, ClockReading clock)
    {
        var proposed = CommandRules.UnderTerms(in command, _options);

        if (CommandRules.Fault(in proposed) is not null)
        {
            _output.Replies.Add((id, CommandResult.Of(ResultCode.BadRequest)));
        }
        else if (Refusal(proposed.Key.Span, proposed.Value.Length, stale: false) is { } refusal)
        {
            _output.Replies.Add((id, refusal));
        }
        else if (command.NamesKey && HeldUpBy(clock.Now) is { IsNone: false } silent)
        {
            _output.Replies.Add((id, new CommandResult(ResultCode.ReplicaUnavailable, default, Encoding.ASCII.GetBytes(silent.Value))));
        }
        else
        {
            _writes.Gather(id, in proposed, Cap(deadline, clock.Now));
        }
    }

    /// <summary>A get; linearizable, or <paramref name="stale"/> from what is applied here. Answered likewise.</summary>
    /// <param name="id">Names it in the answer.</param>
    /// <param name="key">The key. Its memory must stay as it is until the answer.</param>
    /// <param name="stale">Whether this replica's applied state will do, however old.</param>
    /// <param name="deadline">When to stop waiting.</param>
    /// <param name="clock">The time.</param>
    public void Get(RequestId id, ReadOnlyMemory<byte> key, bool stale, Instant deadline, ClockReading clock)
    {
        if ((key.IsEmpty ? CommandResult.Of(ResultCode.BadRequest) : Refusal(key.Span, 0, stale)) is { } refusal)
        {
            _output.Replies.Add((id, refusal));
        }
        else
        {
            _reads.Gather(new WaitingReads.Read(id, Cap(deadline, clock.Now), key, null), stale);
        }
    }

    /// <summary>A page of a scan, likewise. The request's memory must stay as it is until the answer.</summary>
    public void Scan(RequestId id, in ScanRequest request, bool stale, Instant deadline, ClockReading clock)
    {
        if (Waiting >= _options.MaxWaiting)
        {
            _output.Pages.Add((id, new ScanPage(ResultCode.Overloaded, [], false)));
        }
        else
        {
            _reads.Gather(new WaitingReads.Read(id, Cap(deadline, clock.Now), default, request), stale);
        }
    }

    /// <summary>Proposes what was gathered, applies what is committed, serves the reads that became ready, and returns everything to be done. Call it once after each batch of inputs. The lists are reused: they are valid until the next call.</summary>
    public ReplicaOutput Flush(ClockReading clock)
    {
        _now = clock.Now;
        ProposeWrites(clock);
        _reads.Request(Raft, _now);
        FollowChain();
        CarryOut(Raft.TakeEffects());
        Apply();
        KeepInSync();
        if (AddTimeEntry(clock) | DriveHandoffs(clock))
        {
            CarryOut(Raft.TakeEffects());
        }

        if (_snapshots.IsDue(Raft, _machine.LastApplied, _now))
        {
            _snapshots.Begun();
            _output.Image = TakeImage();
        }

        // Deadlines come last: what can be answered is answered.
        _reads.Serve(_machine, _output);
        _writes.Expire(_now, _output);
        _reads.Expire(_now, _output);

        (_output, _lastOutput) = (_lastOutput, _output);
        _output.Clear();
        return _lastOutput;
    }

    // The commands that open and close sessions name no key. A leader tells at once what it would tell in the end of a slot that is frozen
    // or has left, so that calls which wait fill neither log nor rounds. Of one that was never here only the log knows: it may be coming.
    private CommandResult? Refusal(ReadOnlySpan<byte> key, int valueBytes, bool stale) =>
        key.Length > _options.MaxKeyBytes || valueBytes > _options.MaxValueBytes ? CommandResult.Of(ResultCode.TooLarge)
        : Waiting >= _options.MaxWaiting ? CommandResult.Of(ResultCode.Overloaded)
        : !stale && !key.IsEmpty && Raft.Role == Role.Leader && _machine.TurnsAway(Slot.Of(key), stale) is { Version.IsNone: false } away ? away
        : null;

    private static Instant Later(Instant a, Instant b) => a >= b ? a : b;

    private Instant Cap(Instant deadline, Instant now) => Instant.Min(deadline, now.PlusMs(_options.MaxWaitMs));

    private void ProposeWrites(ClockReading clock)
    {
        var stampMs = _logClock.Stamp(clock);
        var last = _writes.Propose(Raft, stampMs, clock.Now, _output);
        if (last != LogIndex.Zero)
        {
            _lastProposed = (last, Raft.Term, stampMs);
            _logClock.Saw(stampMs, clock.Now);
        }
    }

    private void CarryOut(IReadOnlyList<Effect> effects)
    {
        foreach (var effect in effects)
        {
            switch (effect)
            {
                case Effect.Commit:
                    break; // Apply looks at the commit index itself.
                case Effect.ReadReady ready:
                    _reads.Ready(ready.Id, ready.Index);
                    break;
                case Effect.ReadFailed failed:
                    _reads.Failed(failed.Id, _output);
                    break;
                default:
                    _output.Effects.Add(effect);
                    break;
            }
        }
    }

    private void Apply()
    {
        var budget = (long)_options.ApplyBytesPerFlush;
        var before = _machine.LastApplied;
        var fetching = false;
        while (budget > 0 && !fetching && _machine.LastApplied < Raft.CommitIndex)
        {
            fetching = !_committed.TryTake(Raft, _machine.LastApplied.Next, (int)budget, _now, _output.Effects, out var entry);
            if (!fetching)
            {
                budget -= entry.Cost;
                _snapshots.Applied(entry.Cost);
                if (_writes.Applying(entry.Index, entry.Term, _output))
                {
                    _machine.Apply(in entry, _results);
                    if (InSyncGate.Holds(_machine.Ownership))
                    {
                        _writes.Hold(_results, _output);
                    }
                    else
                    {
                        _writes.Resolve(_results, _output);
                    }
                }
                else
                {
                    _machine.Apply(in entry, null);
                }
            }
        }

        _committed.Forget();
        _moreToApply = !fetching && _machine.LastApplied < Raft.CommitIndex;
        Raft.StaysAwake = Waiting > 0 || Ownership.HasMoves || InSyncGate.Holds(Ownership); // Who is in sync is known by heartbeats.
        if (_machine.LastApplied > before)
        {
            Raft.Applied(_machine.LastApplied);
            _logClock.Saw(_machine.LogTimeMs, _now);
        }
    }

    // A leader whose records fall due by its clock moves the log time on, unless an entry already under way will. Only the
    // clock of the leader matters, and only through the stamp; followers expire nothing by themselves.
    private bool AddTimeEntry(ClockReading clock)
    {
        _expiryDeadline = Instant.Never;
        var dueMs = _machine.NextExpiryMs;
        if (dueMs == long.MaxValue || !Raft.AcceptsProposals)
        {
            return false;
        }

        if (_lastProposed.Term == Raft.Term && _lastProposed.Index > _machine.LastApplied && _lastProposed.StampMs >= dueMs)
        {
            return false;
        }

        var stampMs = _logClock.Stamp(clock);
        if (stampMs < dueMs)
        {
            // The wall clock may be set meanwhile: then this is reckoned anew, at the latest after the horizon.
            _expiryDeadline = Later(Instant.Min(_logClock.When(dueMs, clock), clock.Now.PlusMs(ExpiryHorizonMs)), _nextTimeEntry);
            return false;
        }

        if (clock.Now < _nextTimeEntry)
        {
            _expiryDeadline = _nextTimeEntry;
            return false;
        }

        _nextTimeEntry = clock.Now.PlusMs(_options.TimeEntrySpacingMs);
        if (!Propose(stampMs, static stampMs => CommandCodec.Encode(stampMs, []), clock))
        {
            _expiryDeadline = _nextTimeEntry;
            return false;
        }

        return true;
    }

    private bool Propose(long stampMs, Func<long, byte[]> payload, ClockReading clock)
    {
        if (Raft.Propose(EntryKind.Command, payload(stampMs), clock.Now, out var index) != ProposeOutcome.Accepted)
        {
            return false;
        }

        _lastProposed = (index, Raft.Term, stampMs);
        _logClock.Saw(stampMs, clock.Now);
        return true;
    }
}
