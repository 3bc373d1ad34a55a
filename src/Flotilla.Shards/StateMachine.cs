using System.Buffers.Text;
using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Shards.ExactlyOnce;
using Flotilla.Shards.Handoff;
using Flotilla.Shards.Image;
using Flotilla.Shards.Watching;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards;

/// <summary>
/// What a shard's log means: applies its entries in order to the records. Deterministic: the state and every result are
/// a function of the entries alone. No clock is read here (hazard 8): time is the <b>log time</b>, the highest stamp
/// applied so far, and a record is gone once the log time has reached its expiry, in the same entry on every replica.
/// Not thread-safe.
/// </summary>
public sealed class StateMachine
{
    /// <summary>
    /// One entry removes at most so many records that fell due, so that no entry takes long to apply. The rest counts as
    /// absent anyhow and goes with the entries that follow.
    /// </summary>
    public const int MaxExpiredPerEntry = 1024;

    private readonly IRecordStore _store;
    private readonly ExpiryIndex _expiry;
    private readonly SessionTable _sessions;
    private readonly IdempotencyTable _keys;
    private readonly HandoffRules _handoffs;
    private readonly List<Command> _batch = [];

    /// <summary>The state before the first entry.</summary>
    /// <param name="store">An empty store, used by nobody else.</param>
    /// <param name="slots">The slots that the shard owns at first, under slot epoch 1.</param>
    /// <param name="mode">How it replicates at first.</param>
    public StateMachine(IRecordStore store, IReadOnlyList<Slot> slots, ShardMode mode = ShardMode.Raft)
        : this(store, new ExpiryIndex(), new Ownership(First(slots)) { Mode = mode }, new SessionTable(), new IdempotencyTable(), LogIndex.Zero, Term.Zero, 0) =>
        ArgumentNullException.ThrowIfNull(store);

    /// <summary>The state after some entry, out of an image. All parts are this machine's own from here on.</summary>
    internal StateMachine(IRecordStore store, ExpiryIndex expiry, Ownership ownership, SessionTable sessions, IdempotencyTable keys, LogIndex lastApplied, Term lastTerm, long logTimeMs)
    {
        _store = store;
        _expiry = expiry;
        Ownership = ownership;
        _sessions = sessions;
        _keys = keys;
        LastApplied = lastApplied;
        LastTerm = lastTerm;
        LogTimeMs = logTimeMs;
        _handoffs = new HandoffRules(store, expiry, sessions, keys, ownership);
        if (ownership.IncomingById.Count > 0)
        {
            Staging.Restore(ownership.Incoming, store);
        }

        expiry.Held = ownership.Held;
    }

    /// <summary>Whether the last step of a handoff that was applied had an effect.</summary>
    internal bool LastStepTook { get; private set; }

    /// <summary>What the log says of the shard itself: slots, moves, state.</summary>
    public Ownership Ownership { get; }

    /// <summary>The last entry applied.</summary>
    public LogIndex LastApplied { get; private set; }

    /// <summary>The term of that entry; 0 before the first.</summary>
    public Term LastTerm { get; private set; }

    /// <summary>The highest stamp applied, in milliseconds since the Unix epoch; 0 before the first. Never goes back.</summary>
    public long LogTimeMs { get; private set; }

    /// <summary>
    /// The log time at which the next record is gone, or <see cref="long.MaxValue"/>. Not above <see cref="LogTimeMs"/> while
    /// some that fell due are still to be removed. Of records only: nobody sees that a session or an idempotency key which
    /// fell due is still there, and the entry that would notice moves the log time itself.
    /// </summary>
    public long NextExpiryMs => _expiry.NextMs;

    /// <summary>The records, those included that fell due and are not removed yet: <see cref="Get"/> and <see cref="Scan"/> hide them.</summary>
    public IRecordView Records => _store;

    /// <summary>The records as they are now, in a view that later entries do not change.</summary>
    internal IRecordView RecordSnapshot() => _store.Snapshot();

    /// <summary>The idempotency keys as they are now, likewise.</summary>
    internal KeyImage KeyImage() => _keys.Snapshot();

    /// <summary>Open sessions, those included that fell due and are not removed yet.</summary>
    public int SessionCount => _sessions.Count;

    /// <summary>Results that all sessions keep.</summary>
    public long RecordedResultCount => _sessions.ResultCount;

    /// <summary>Idempotency keys, those included whose life is over and that are not removed yet, also if they came again since.</summary>
    public long IdempotencyKeyCount => _keys.Count;

    /// <summary>Where this machine writes down what it does to records from here on, for those who watch; null for nowhere. No part of the state.</summary>
    public EventLog? Events { get; set; }

    /// <summary>Applies the entry after <see cref="LastApplied"/>.</summary>
    /// <param name="entry">A committed entry.</param>
    /// <param name="results">Cleared, then filled with one result for each command, in order; null if nobody waits for them.</param>
    /// <exception cref="MalformedPayloadException">The payload can't be read; nothing was applied.</exception>
    public void Apply(in Entry entry, List<CommandResult>? results)
    {
        if (entry.Index != LastApplied.Next)
        {
            throw new InvalidOperationException($"Entry {entry} cannot be applied after {LastApplied}.");
        }

        results?.Clear();
        Events?.Begin(entry.Index);
        if (entry.Kind == EntryKind.Command && HandoffCodec.IsStep(entry.Payload.Span))
        {
            Apply(HandoffCodec.Decode(entry.Payload), entry.Index);
        }
        else if (entry.Kind == EntryKind.Command)
        {
            var stampMs = CommandCodec.Decode(entry.Payload, _batch);

            // A leader stamps with max(last stamp, its clock); the maximum here makes sure even if one did not know the
            // last stamp when it took over.
            LogTimeMs = Math.Max(LogTimeMs, stampMs);
            RemoveExpired(_batch.Count);
            for (var i = 0; i < _batch.Count; i++)
            {
                var result = Execute(_batch[i], entry.Index, (uint)i, results is not null);
                results?.Add(result);
            }

            _batch.Clear(); // Lets go of the payload.
        }

        LastApplied = entry.Index;
        LastTerm = entry.Term;
    }

    private void Apply((long StampMs, HandoffStep Step) entry, LogIndex index)
    {
        LogTimeMs = Math.Max(LogTimeMs, entry.StampMs);
        RemoveExpired(commands: 0);
        var logTimeMs = LogTimeMs;
        LastStepTook = _handoffs.Apply(entry.Step, index, ref logTimeMs);
        LogTimeMs = logTimeMs;
        if (LastStepTook && Events is { } events)
        {
            NoteMove(events, entry.Step);
        }
    }

    // Records that come with a move are no events: whoever watches has seen what made them, at the shard that gave them.
    private void NoteMove(EventLog events, HandoffStep step)
    {
        switch (step)
        {
            case HandoffStep.Freeze freeze:
                events.AddFrozen(freeze.Move);
                break;
            case HandoffStep.Accept accept:
                events.AddCame(Ownership.IncomingById[accept.Id].SourceShard, accept.Id.Begin);
                break;
            case HandoffStep.SetState { State: ShardState.Retired }:
                events.AddEnded(Ownership.HasGiven);
                break;
            default:
                break;
        }
    }

    /// <summary>
    /// Everything that is known now, in a view that later entries do not change. It costs one reference per session,
    /// whatever the number of records.
    /// </summary>
    /// <param name="configuration">The group's configuration as of <see cref="LastApplied"/>, to be kept with it; up to <see cref="StateImage.MaxConfigurationBytes"/>, never to change.</param>
    public StateImage TakeImage(ReadOnlyMemory<byte> configuration) =>
        new(LastApplied, LastTerm, LogTimeMs, configuration, _store.Snapshot(), Ownership.Slots, Ownership.Encoded, _sessions.Snapshot(), _sessions.ResultCount, _keys.Snapshot());

    /// <summary>
    /// A get from what is applied. The value is a copy. Of a frozen slot only one that may be <paramref name="stale"/> is answered:
    /// the target may own it already.
    /// </summary>
    public CommandResult Get(ReadOnlyMemory<byte> key, bool stale = false)
    {
        if (TurnsAway(Slot.Of(key.Span), stale) is { } refusal)
        {
            return refusal;
        }

        return TryFind(key, out var record)
            ? new CommandResult(ResultCode.Ok, record.Version, record.Value.ToArray())
            : CommandResult.Of(ResultCode.NotFound);
    }

    /// <summary>
    /// A page of a scan from what is applied. The records are copies; those of slots not owned are left out, and those of frozen ones, which
    /// the target may own already, unless it may be <paramref name="stale"/>. <see cref="ScanPage.Slots"/> says what is left.
    /// </summary>
    public ScanPage Scan(in ScanRequest request, bool stale = false)
    {
        var slots = stale ? Ownership.Slots.Slots : Ownership.Served;
        return ScanPages.Read(_store, slots, LogTimeMs, in request) with { Slots = slots };
    }

    /// <summary>
    /// What refuses a call about a key of a slot, by what is applied; null if nothing does. Of a slot that was here and has left, and of a
    /// frozen one, it may be told before a call takes its way through the log: it certainly has no effect.
    /// </summary>
    internal CommandResult? TurnsAway(Slot slot, bool stale) =>
        Ownership.EpochOf(slot) == 0 ? MovedHint.NotOwner(Ownership.DepartureOf(slot))
        : !stale && Ownership.Frozen.Contains(slot) ? MovedHint.Moving(Ownership.FrozenBy(slot), slot)
        : null;

    /// <summary>
    /// A hash of everything that the entries have decided: records with versions and expiries, sessions, idempotency keys,
    /// log time, slots. Equal on all replicas that have applied the same entries; the simulator compares it. Takes time linear in the data.
    /// </summary>
    public ulong StateDigest()
    {
        var visitor = new DigestVisitor(new StableHash(0));
        visitor.Hash.Add((ulong)LogTimeMs);
        foreach (var (epoch, slots) in Ownership.Slots.Runs())
        {
            visitor.Hash.Add(((ulong)epoch.Value << 32) | (uint)slots);
        }

        visitor.Hash.Add(Ownership.Encoded);

        _sessions.AddTo(ref visitor.Hash);
        _keys.AddTo(ref visitor.Hash);
        _store.Visit([], ref visitor);
        return visitor.Hash.Value;
    }

    // Ownership comes first: a command for a slot that is not (or no longer) owned has no effect, whatever else it says, and
    // leaves its session as it is. Then what was executed before is answered and not executed again.
    private CommandResult Execute(in Command command, LogIndex index, uint place, bool wanted)
    {
        switch (command.Once)
        {
            case Once.Opening opening:
                return _sessions.Open(new SessionId(index, place), opening.Terms, LogTimeMs);
            case Once.Closing closing:
                return _sessions.Close(closing.Session, LogTimeMs);
        }

        var slot = Slot.Of(command.Key.Span);
        if (TurnsAway(slot, stale: false) is { } refusal)
        {
            return refusal;
        }

        var version = new Version(Ownership.EpochOf(slot), ModeEpoch: 0, index.Value, place);
        switch (command.Once)
        {
            case Once.InSession once:
                if (_handoffs.SessionKeyOf(once, slot) is not { } key)
                {
                    return CommandResult.Of(ResultCode.SessionExpired);
                }

                if (_sessions.Admits(key, once, slot, LogTimeMs, out var answer))
                {
                    answer = Execute(in command, version, wanted: true);
                    _sessions.Record(key, once, slot, in answer);
                }

                return answer;
            case Once.ByKey once:
                if (_keys.Admits(once, in command, slot, LogTimeMs, out var identity, out answer))
                {
                    answer = Execute(in command, version, wanted: true);
                    _keys.Record(once, identity, slot, in answer, LogTimeMs);
                }

                return answer;
            default:
                return Execute(in command, version, wanted);
        }
    }

    private CommandResult Execute(in Command command, Version version, bool wanted)
    {
        switch (command.Kind)
        {
            case CommandKind.Put:
                // What is there matters to the expiry index only.
                var oldExpiry = _expiry.Count > 0 && _store.TryGet(command.Key.Span, out var old) ? old.ExpiresAtMs : 0;
                return Write(command.Key, command.Value.Span, version, oldExpiry, ExpiryOf(command.TtlMs));
            case CommandKind.PutIfAbsent:
                return TryFind(command.Key, out var there)
                    ? new CommandResult(ResultCode.VersionMismatch, there.Version, default)
                    : Write(command.Key, command.Value.Span, version, there.ExpiresAtMs, ExpiryOf(command.TtlMs));
            case CommandKind.CompareAndSwap:
                return Matches(in command, out var replaced)
                    ? Write(command.Key, command.Value.Span, version, replaced.ExpiresAtMs, ExpiryOf(command.TtlMs))
                    : new CommandResult(ResultCode.VersionMismatch, replaced.Version, default);
            case CommandKind.Delete:
                return TryFind(command.Key, out var deleted) ? Remove(command.Key, in deleted) : CommandResult.Of(ResultCode.NotFound);
            case CommandKind.CompareAndDelete:
                return Matches(in command, out var removed)
                    ? Remove(command.Key, in removed)
                    : new CommandResult(ResultCode.VersionMismatch, removed.Version, default);
            case CommandKind.Increment:
                return Increment(in command, version, wanted);
            case CommandKind.LearnKeys:
                RestoredKeys.Learn(_keys, in command, LogTimeMs);
                return new CommandResult(ResultCode.Ok, version, default);
            default:
                throw new InvalidOperationException($"The codec let command kind {command.Kind} through.");
        }
    }

    private CommandResult Increment(in Command command, Version version, bool wanted)
    {
        var found = TryFind(command.Key, out var record);
        long number = 0;
        if (found && !TryParseInteger(record.Value.Span, out number))
        {
            return CommandResult.Of(ResultCode.BadRequest);
        }

        var sum = unchecked(number + command.Delta);
        if (((number ^ sum) & (command.Delta ^ sum)) < 0)
        {
            return CommandResult.Of(ResultCode.BadRequest); // Overflow: the sum's sign differs from that of both addends.
        }

        Span<byte> text = stackalloc byte[20]; // "-9223372036854775808"
        Utf8Formatter.TryFormat(sum, text, out var length);
        text = text[..length];
        var answer = Write(command.Key, text, version, record.ExpiresAtMs, found ? record.ExpiresAtMs : 0);
        return wanted ? answer with { Value = text.ToArray() } : answer;
    }

    private CommandResult Write(ReadOnlyMemory<byte> key, ReadOnlySpan<byte> value, Version version, long oldExpiryMs, long expiryMs)
    {
        _store.Put(key.Span, value, version, expiryMs);
        _expiry.Change(key.Span, oldExpiryMs, expiryMs);
        Events?.Add(ShardEventKind.Put, key.Span, value, version);
        return new CommandResult(ResultCode.Ok, version, default);
    }

    private CommandResult Remove(ReadOnlyMemory<byte> key, in Record record)
    {
        // The store may use the record's memory again.
        var (version, expiresAtMs) = (record.Version, record.ExpiresAtMs);
        _store.Remove(key.Span);
        _expiry.Change(key.Span, expiresAtMs, 0);
        Events?.Add(ShardEventKind.Delete, key.Span, [], version);
        return CommandResult.Of(ResultCode.Ok);
    }

    // False hands out version none, also for a record that fell due: that is what is there, as far as anyone may know.
    private bool Matches(in Command command, out Record record)
    {
        var found = TryFind(command.Key, out record);
        if (!found)
        {
            record = record with { Version = Version.None };
        }

        return found && record.Version == command.Expected;
    }

    // A record that fell due is not found, but its expiry is handed out: whoever writes over it must take it off the index.
    private bool TryFind(ReadOnlyMemory<byte> key, out Record record) =>
        _store.TryGet(key.Span, out record) && !IsExpired(record.ExpiresAtMs, LogTimeMs);

    private void RemoveExpired(int commands)
    {
        for (var n = 0; n < MaxExpiredPerEntry && _expiry.TryTake(LogTimeMs, out var key); n++)
        {
            if (Events is { } events && _store.TryGet(key.Span, out var record))
            {
                events.Add(ShardEventKind.Expire, key.Span, [], record.Version);
            }

            _store.Remove(key.Span);
        }

        _sessions.RemoveExpired(LogTimeMs);
        _keys.RemoveExpired(LogTimeMs, commands);
    }

    // Reckoned from the log time, which is the entry's stamp unless a leader with a slower clock wrote a lower one: a time
    // to live is never cut short by that. An expiry past the end of time never comes.
    private long ExpiryOf(long ttlMs) => ttlMs == 0 ? 0 : ttlMs > long.MaxValue - LogTimeMs ? long.MaxValue : LogTimeMs + ttlMs;

    /// <summary>True if a record with this expiry is gone at this log time.</summary>
    internal static bool IsExpired(long expiresAtMs, long logTimeMs) => expiresAtMs != 0 && logTimeMs >= expiresAtMs;

    // Only what Increment itself would write: no plus sign, no leading zeros, no spaces, no "-0". So a counter has one
    // text, and what is no counter is never taken for one.
    internal static bool TryParseInteger(ReadOnlySpan<byte> text, out long number)
    {
        number = 0;
        var digits = text.StartsWith("-"u8) ? text[1..] : text;
        var canonical = digits.Length > 0 && (digits[0] is >= (byte)'1' and <= (byte)'9' || text.SequenceEqual("0"u8));
        return canonical && Utf8Parser.TryParse(text, out number, out var consumed) && consumed == text.Length;
    }

    private static SlotEpochs First(IReadOnlyList<Slot> slots)
    {
        ArgumentNullException.ThrowIfNull(slots);
        return SlotEpochs.Of(SlotSet.Of(slots), SlotEpoch.First);
    }

    private struct DigestVisitor(StableHash hash) : IRecordVisitor
    {
        public StableHash Hash = hash;

        public bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
        {
            Hash.Add(key);
            Hash.Add(value);
            Hash.Add(((ulong)version.SlotEpoch << 32) | version.ModeEpoch);
            Hash.Add(version.Counter);
            Hash.Add(version.Sub);
            Hash.Add((ulong)expiresAtMs);
            return true;
        }
    }
}
