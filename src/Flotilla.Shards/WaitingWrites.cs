using System.Runtime.InteropServices;
using Flotilla.Raft;

namespace Flotilla.Shards;

/// <summary>
/// The writes of one replica that are not answered yet: first gathered, then proposed many to an entry, then waiting for
/// that entry. Every write is answered exactly once, and definitely unless only time has passed (hazard 7).
/// </summary>
/// <remarks>
/// <para>Why the answers are right. A write that was not proposed is in no log. One that was proposed sits in entry
/// (index, term), and Raft's Log Matching makes that pair name one entry for ever. So when the entry applied at that index
/// has that term, its results are the write's; and when another entry is applied at that index, or an entry of a higher
/// term at a lower index, then (index, term) is in no log that can still commit it: State Machine Safety forbids the
/// first, and the second since terms never fall along a log. Then the write certainly did not and will not happen. Until
/// one of these is seen nothing is certain, above all not after a step-down: the new leader may hold the entry and commit
/// it. So losing leadership ends no wait. A deadline does, with "indeterminate".</para>
/// <para>Why every wait ends. A gathered write is proposed or refused by the next flush. A proposed one ends by the apply
/// of its index or by its deadline, whichever is first; deadlines are finite (the replica caps them), and the replica's
/// next deadline is never after the earliest of them, however many terms pass meanwhile.</para>
/// <para>Why the count is bounded. The replica admits no more than its limit; an answer makes room, and an entry that
/// nobody waits for any more is forgotten.</para>
/// </remarks>
internal sealed class WaitingWrites(ReplicaOptions options)
{
    // Bounds the decoded batch that every replica keeps for reuse.
    private const int MaxCommandsPerEntry = 4096;

    private readonly List<Command> _commands = []; // gathered; side by side with _gathered
    private readonly List<Waiter> _gathered = [];
    private readonly Queue<ProposedEntry> _proposed = new(); // by term, then index: the order of proposal
    private readonly Stack<ProposedEntry> _pool = new();
    private readonly Queue<ProposedEntry> _held = new(); // applied, with results; by index
    private int _open; // waiters in _proposed and _held that have no answer

    /// <summary>How many have no answer.</summary>
    public int Count => _gathered.Count + _open;

    /// <summary>Not after the earliest deadline of those that wait (it may be that of one answered since).</summary>
    public Instant EarliestDeadline { get; private set; } = Instant.Never;

    /// <summary>Takes in a write. Its key and value are read at the next <see cref="Propose"/>.</summary>
    public void Gather(RequestId id, in Command command, Instant deadline)
    {
        _commands.Add(command);
        _gathered.Add(new Waiter(id, deadline, false));
        EarliestDeadline = Instant.Min(EarliestDeadline, deadline);
    }

    /// <summary>Proposes all that was gathered, or refuses it.</summary>
    /// <returns>The last entry that was accepted; index 0 if none was.</returns>
    public LogIndex Propose(Raft.Raft raft, long stampMs, Instant now, ReplicaOutput output)
    {
        var last = LogIndex.Zero;
        if (_gathered.Count == 0)
        {
            return last;
        }

        if (now >= EarliestDeadline)
        {
            RefuseLate(now, output);
        }

        // Not to encode what this replica can't propose.
        var outcome = raft.Role == Role.Leader ? ProposeOutcome.Accepted : ProposeOutcome.NotLeader;
        var commands = CollectionsMarshal.AsSpan(_commands);
        var waiters = CollectionsMarshal.AsSpan(_gathered);
        while (!commands.IsEmpty && outcome == ProposeOutcome.Accepted)
        {
            var count = Fitting(commands);
            outcome = raft.Propose(EntryKind.Command, CommandCodec.Encode(stampMs, commands[..count]), now, out var index);
            if (outcome == ProposeOutcome.Accepted)
            {
                Await(index, raft.Term, waiters[..count], commands[..count]);
                last = index;
                commands = commands[count..];
                waiters = waiters[count..];
            }
        }

        // Certainly not in the log. What follows a refused entry is refused with it, so that two writes of one client are
        // not swapped by a refusal of the first only.
        var refusal = CommandResult.Of(outcome is ProposeOutcome.Overloaded or ProposeOutcome.NoRoom ? ResultCode.Overloaded : ResultCode.NotLeader);
        foreach (ref readonly var waiter in waiters)
        {
            output.Replies.Add((waiter.Id, refusal));
        }

        _commands.Clear();
        _gathered.Clear();
        return last;
    }

    /// <summary>Entry (index, term) is about to be applied: answers the writes that this proves lost. True if the entry's own writes wait for <see cref="Resolve"/>.</summary>
    public bool Applying(LogIndex index, Term term, ReplicaOutput output)
    {
        // Looking at the head suffices. An entry that is applied just as it was proposed becomes the head here, since all
        // before it have a lower term, or the same and a lower index. One that is hidden behind a head not yet decided is
        // answered a little later, by an entry of a higher term or by its deadline.
        while (_proposed.TryPeek(out var head) && head.Term <= term)
        {
            if (head.Index < index)
            {
                // Its index was passed and this replica did not see with which entry.
                End(_proposed.Dequeue(), ResultCode.Indeterminate, output);
            }
            else if (head.Term < term)
            {
                End(_proposed.Dequeue(), ResultCode.NotLeader, output);
            }
            else
            {
                return head.Index == index;
            }
        }

        if (_proposed.TryPeek(out var overwritten) && overwritten.Index == index)
        {
            // An older leader's entry took this place (Raft paper, figure 8, in the order that is safe).
            End(_proposed.Dequeue(), ResultCode.NotLeader, output);
        }

        return false;
    }

    /// <summary>Answers the writes of the entry of which <see cref="Applying"/> said true.</summary>
    public void Resolve(List<CommandResult> results, ReplicaOutput output)
    {
        var entry = _proposed.Dequeue();
        entry.Results.AddRange(results);
        Answer(entry, output);
    }

    /// <summary>Keeps the results of the entry of which <see cref="Applying"/> said true for <see cref="Release"/>: more than a majority is to hold it first. Its deadline counts on. Sessions that are opened and closed wait for nobody.</summary>
    public void Hold(List<CommandResult> results, ReplicaOutput output)
    {
        if (!_proposed.Peek().HasWrites)
        {
            Resolve(results, output);
            return;
        }

        var entry = _proposed.Dequeue();
        entry.Results.AddRange(results);
        _held.Enqueue(entry);
    }

    /// <summary>Something is held.</summary>
    public bool HasHeld => _held.Count > 0;

    /// <summary>Answers what is held of the entries up to this one.</summary>
    public void Release(LogIndex upTo, ReplicaOutput output)
    {
        while (_held.TryPeek(out var head) && head.Index <= upTo)
        {
            Answer(_held.Dequeue(), output);
        }
    }

    /// <summary>Answers the proposed writes whose deadline has come, and forgets entries that nobody waits for.</summary>
    public void Expire(Instant now, ReplicaOutput output)
    {
        if (now < EarliestDeadline)
        {
            return;
        }

        // One walk over all that wait, at most once per deadline reached. Under load that is rare: most are answered long
        // before, and the walk moves EarliestDeadline ahead to that of a write which still waits.
        EarliestDeadline = Instant.Never;
        Expire(_proposed, now, output);
        Expire(_held, now, output);
    }

    private void Expire(Queue<ProposedEntry> entries, Instant now, ReplicaOutput output)
    {
        for (var n = entries.Count; n > 0; n--)
        {
            var entry = entries.Dequeue();
            var open = false;
            foreach (ref var waiter in CollectionsMarshal.AsSpan(entry.Waiters))
            {
                if (!waiter.Answered && waiter.Deadline <= now)
                {
                    waiter = waiter with { Answered = true };
                    _open--;
                    output.Replies.Add((waiter.Id, CommandResult.Of(ResultCode.Indeterminate)));
                }
                else if (!waiter.Answered)
                {
                    open = true;
                    EarliestDeadline = Instant.Min(EarliestDeadline, waiter.Deadline);
                }
            }

            if (open)
            {
                entries.Enqueue(entry);
            }
            else
            {
                Recycle(entry);
            }
        }
    }

    private void Answer(ProposedEntry entry, ReplicaOutput output)
    {
        var waiters = CollectionsMarshal.AsSpan(entry.Waiters);
        if (waiters.Length != entry.Results.Count)
        {
            throw new InvalidOperationException($"Entry {entry.Index} was proposed with {waiters.Length} commands and applied with {entry.Results.Count}.");
        }

        for (var i = 0; i < waiters.Length; i++)
        {
            if (!waiters[i].Answered)
            {
                output.Replies.Add((waiters[i].Id, entry.Results[i]));
                _open--;
            }
        }

        Recycle(entry);
    }

    private void RefuseLate(Instant now, ReplicaOutput output)
    {
        var kept = 0;
        for (var i = 0; i < _gathered.Count; i++)
        {
            if (_gathered[i].Deadline <= now)
            {
                output.Replies.Add((_gathered[i].Id, CommandResult.Of(ResultCode.NoQuorum)));
                continue;
            }

            _gathered[kept] = _gathered[i];
            _commands[kept++] = _commands[i];
        }

        _gathered.RemoveRange(kept, _gathered.Count - kept);
        _commands.RemoveRange(kept, _commands.Count - kept);
    }

    private int Fitting(ReadOnlySpan<Command> commands)
    {
        var bytes = (long)CommandCodec.MaxHeaderBytes + CommandCodec.SizeOf(in commands[0]);
        var count = 1;
        while (count < commands.Length && count < MaxCommandsPerEntry)
        {
            bytes += CommandCodec.SizeOf(in commands[count]);
            if (bytes > options.MaxEntryBytes)
            {
                break;
            }

            count++;
        }

        return count;
    }

    private void Await(LogIndex index, Term term, ReadOnlySpan<Waiter> waiters, ReadOnlySpan<Command> commands)
    {
        var entry = _pool.TryPop(out var pooled) ? pooled : new ProposedEntry();
        entry.Index = index;
        entry.Term = term;
        entry.Waiters.AddRange(waiters);
        entry.HasWrites = false;
        foreach (ref readonly var command in commands)
        {
            entry.HasWrites |= command.NamesKey;
        }

        _proposed.Enqueue(entry);
        _open += waiters.Length;
    }

    private void End(ProposedEntry entry, ResultCode code, ReplicaOutput output)
    {
        foreach (ref readonly var waiter in CollectionsMarshal.AsSpan(entry.Waiters))
        {
            if (!waiter.Answered)
            {
                output.Replies.Add((waiter.Id, CommandResult.Of(code)));
                _open--;
            }
        }

        Recycle(entry);
    }

    private void Recycle(ProposedEntry entry)
    {
        entry.Waiters.Clear();
        entry.Results.Clear();
        if (_pool.Count < 64)
        {
            _pool.Push(entry);
        }
    }

    private readonly record struct Waiter(RequestId Id, Instant Deadline, bool Answered);

    private sealed class ProposedEntry
    {
        public LogIndex Index { get; set; }

        public Term Term { get; set; }

        public bool HasWrites { get; set; }

        public List<Waiter> Waiters { get; } = [];

        /// <summary>What its commands came to, once it is applied.</summary>
        public List<CommandResult> Results { get; } = [];
    }
}
