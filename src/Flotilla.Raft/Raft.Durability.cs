namespace Flotilla.Raft;

/// <content>
/// What waits for the disk. All that changes between two calls of <see cref="TakeEffects"/> goes into one persist with one
/// number; a message that speaks of it names that number. The disk acknowledges numbers, never indexes: an entry may be
/// written over while its first version is still on its way to the disk, and an index could not tell the two (hazard 6).
/// </content>
public sealed partial class Raft
{
    private const double CommitHintMs = 1000;

    private readonly List<PersistUnderWay> _underWay = [];
    private readonly SortedDictionary<NodeId, ulong> _metIn = [];
    private List<Entry> _unpersisted = [];
    private ulong _sequence;
    private ulong _durableSequence;
    private ulong _vowSequence;
    private bool _hardStateDirty;
    private bool _identityDirty;
    private bool _commitHintDue;
    private LogIndex _durableIndex;
    private LogIndex _persistedCommit;
    private Instant _commitHintAt = Instant.Never;

    private record struct PersistUnderWay(ulong Sequence, LogIndex LastIndex, Instant Since);

    /// <summary>The persist that carries this replica's newest term, vote and identity, or 0 if they are durable: what every promise waits for.</summary>
    private PersistSequence Vow =>
        new(_hardStateDirty || _identityDirty || _resetTo is not null ? _sequence + 1 : _vowSequence > _durableSequence ? _vowSequence : 0);

    private Instant CommitHintDeadline => _commitHintDue ? _now : _commitHintAt;

    /// <summary>Since when the disk owes an acknowledgement; <see cref="Instant.Never"/> if it owes none.</summary>
    private Instant DiskOwesSince => _underWay.Count > 0 ? _underWay[0].Since : Instant.Never;

    private bool DiskIsStalled => _underWay.Count > 0 && _now.MsSince(DiskOwesSince) > _options.DiskStallMs;

    /// <summary>Every persist up to <paramref name="sequence"/> is durable.</summary>
    public void Persisted(PersistSequence sequence, Instant now)
    {
        _now = now;
        Invariant.Require(sequence.Value <= _sequence, "the disk acknowledges only what it was given");
        _durableSequence = Math.Max(_durableSequence, sequence.Value);
        var done = 0;
        while (done < _underWay.Count && _underWay[done].Sequence <= sequence.Value)
        {
            _durableIndex = LogIndex.Max(_durableIndex, _underWay[done++].LastIndex);
        }

        _underWay.RemoveRange(0, done);
        if (Role == Role.Candidate && !_hardStateDirty && _vowSequence <= _durableSequence)
        {
            CountOwnVote();
        }
        else if (Role == Role.Leader)
        {
            MaybeCommit();
        }
    }

    /// <summary>The state machine has applied everything up to here: older entries may leave memory.</summary>
    public void Applied(LogIndex index)
    {
        _applied = LogIndex.Max(_applied, index);
        Log.Evict(LogIndex.Min(index, _durableIndex), _options.LogCacheBytes);
    }

    /// <summary>The persist that makes the log durable through <paramref name="index"/>, and the promises with it.</summary>
    private PersistSequence DurableThrough(LogIndex index) =>
        index <= _durableIndex ? Vow : new(Math.Max(Vow.Value, _unpersisted.Count > 0 ? _sequence + 1 : _sequence));

    private void AppendToLog(in Entry entry)
    {
        Log.Append(entry);
        _unpersisted.Add(entry);
        if (entry.Kind == EntryKind.Configuration)
        {
            Adopt(entry);
        }
    }

    private void TruncateLog(LogIndex from)
    {
        Invariant.Require(from > CommitIndex, "a committed entry is never replaced");
        Log.TruncateFrom(from);
        _configurations.TruncatedFrom(from);
        var last = from.Previous;
        _durableIndex = LogIndex.Min(_durableIndex, last);
        for (var i = 0; i < _underWay.Count; i++)
        {
            _underWay[i] = _underWay[i] with { LastIndex = LogIndex.Min(_underWay[i].LastIndex, last) };
        }

        _unpersisted.RemoveAll(entry => entry.Index >= from);
    }

    private void MarkIdentityDirty() => _identityDirty = true;

    private void MarkMet(NodeId peer)
    {
        _metIn[peer] = _sequence + 1;
        MarkIdentityDirty();
    }

    /// <summary>The incarnation of <paramref name="peer"/> has been made durable here.</summary>
    private bool IsStoredDurably(NodeId peer) => !_metIn.TryGetValue(peer, out var sequence) || sequence <= _durableSequence;

    private void EmitPersist(List<Effect> into)
    {
        if (!_hardStateDirty && !_identityDirty && _resetTo is null && _unpersisted.Count == 0)
        {
            if (_commitHintDue)
            {
                _commitHintDue = false;
                into.Add(new Effect.Persist(new(++_sequence), TakeHardState(), null, [], MustSync: false));
            }

            return;
        }

        _commitHintDue = false;
        _sequence++;
        var hardState = _hardStateDirty || _resetTo is not null || CommitIndex > _persistedCommit ? TakeHardState() : (HardState?)null;
        var identity = _identityDirty ? _admission.State : null;
        if (_hardStateDirty || _identityDirty || _resetTo is not null)
        {
            _vowSequence = _sequence;
        }

        _hardStateDirty = _identityDirty = false;
        into.Add(new Effect.Persist(new(_sequence), hardState, identity, _unpersisted, MustSync: true, _resetTo));
        _underWay.Add(new(_sequence, Log.LastIndex, _now));
        _unpersisted = [];
        _resetTo = null;
    }

    private HardState TakeHardState()
    {
        _persistedCommit = CommitIndex;
        _commitHintAt = Instant.Never;
        return new HardState(Term, _votedFor, CommitIndex);
    }

    /// <summary>An idle replica writes its commit index down now and then, without a sync, so that a restart need not wait for the leader to tell it.</summary>
    private void PersistCommitHint()
    {
        if (CommitIndex <= _persistedCommit)
        {
            return;
        }

        if (_commitHintAt == Instant.Never)
        {
            _commitHintAt = _now.PlusMs(CommitHintMs);
        }
        else if (_now >= _commitHintAt)
        {
            _commitHintAt = Instant.Never;
            _commitHintDue = true;
        }
    }
}
