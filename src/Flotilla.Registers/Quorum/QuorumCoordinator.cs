using System.Numerics;

namespace Flotilla.Registers.Quorum;

/// <summary>
/// Reads and writes by majorities, without a leader: the clients of ABD, with many writers. Linearizable for each key, across crashes of
/// any replicas that come back, and alive while a majority is.
/// </summary>
/// <remarks>
/// <para><b>A write</b> asks a majority how new the key is, and stores a higher version on a majority. <b>A read</b> asks a majority for the newest, and
/// unless a majority is known to hold just that, stores it on one before it answers (hazard 50: without this a read may return a write
/// that is under way, and a later read the value before it).</para>
/// <para><b>Why this is linearizable</b> (Lynch and Shvartsman 1997, theorem 4.1). Order operations by stamp, a read behind the write whose stamp
/// it returns. Stamps on one replica only grow, and every answer comes from a disk, so they never shrink across a crash. When an operation with
/// stamp s is answered a majority holds s or more; one that begins later asks a majority, which shares a replica with the first, so a later read
/// returns at least s and a later write chooses more than s. Two writes never share a stamp (<see cref="Stamp.SubOf"/>).</para>
/// <para><b>Found expired</b> is a write too: the flag goes to a majority before "absent" is answered. It stands between the version that it is
/// set at and the next one, so nobody returns that value again, and it never hides a later write, whatever the clocks say.</para>
/// <para><b>What a seal catches.</b> What has stored nothing yet is refused as certainly not done. A write that may have been stored waits: it may
/// still reach its majority, on answers given before those replicas were sealed, and then the merge finds it. Else it is settled as this replica
/// applies the last merge entry. If the state has its version, it was done. If the state has a higher one, it was done just before that: the higher
/// one was not complete when this write asked its majority, or this write's version would be above it. If the state has less, nobody read the
/// write, since a read would have put it on a majority, and nobody ever will, since its epoch is over: certainly not done.</para>
/// <para>A deadline that passes ends a write that may have been stored as unclear. Whoever tries again names the same attempt, and so stores
/// the same item: once or twice on a replica is the same.</para>
/// </remarks>
internal sealed class QuorumCoordinator(RegisterContext context, Acceptor acceptor) : Coordinator(context, acceptor)
{
    private readonly SortedDictionary<ulong, Operation> _operations = [];
    private long _dueUs = Clocks.Never; // Not later than anything is due.

    public override int Calls => _operations.Count;

    public override long NextDueUs => _dueUs;

    private int Majority => (Terms.Voters / 2) + 1;

    public override void Get(RegisterInput.Get get)
    {
        var operation = Begin(get.Call, get.Key, get.DeadlineUs);
        operation.Best = Acceptor.ItemOf(get.Key);
        operation.Above = operation.Best.Stamp;
        Ask(operation);
    }

    public override void Write(RegisterInput.Write write)
    {
        if (write.Retry is null)
        {
            var operation = Begin(write.Call, write.Key, write.DeadlineUs);
            operation.Write = write;
            operation.Best = Item.Gone(write.Key, Stamp.None);
            Ask(operation);
        }
        else if (NameOf(write, wallMs: 0) is { } attempt)
        {
            var operation = Begin(write.Call, write.Key, write.DeadlineUs);
            operation.Write = write;
            operation.Attempt = attempt;
            Store(operation, ItemOf(write, attempt), holders: 0);
        }
        else
        {
            Context.Answer(write.Call, new RegisterAnswer.Indeterminate(write.Retry.Value));
        }
    }

    public override void Receive(Voter from, RegisterMessage message)
    {
        switch (message)
        {
            case QueryReply reply when _operations.TryGetValue(reply.Question.Number, out var operation) && operation.Question == reply.Question:
                Answered(operation, from, reply);
                break;
            case Stored reply when _operations.TryGetValue(reply.Question.Number, out var operation) && operation.Question == reply.Question && operation.IsStoring:
                operation.Holders |= Bit(from);
                FinishIfHeld(operation);
                break;
            default:
                break; // Late, or of a process before this one.
        }
    }

    public override void Tick()
    {
        if (Context.Now.NowUs < _dueUs)
        {
            return;
        }

        foreach (var operation in _operations.Values.Where(o => Math.Min(o.DeadlineUs, o.AskAtUs) <= Context.Now.NowUs).ToArray())
        {
            if (operation.DeadlineUs <= Context.Now.NowUs)
            {
                Finish(operation, operation is { IsStoring: true, Write: not null } ? new RegisterAnswer.Indeterminate(operation.Attempt) : new RegisterAnswer.NoQuorum());
            }
            else if (Acceptor.Standing is EpochStanding.Open or EpochStanding.Opening)
            {
                Ask(operation);
            }
            else
            {
                operation.AskAtUs = Clocks.Never; // Until the epoch is opened again, or over.
            }
        }

        _dueUs = Clocks.Never;
        foreach (var operation in _operations.Values)
        {
            IsDueAt(Math.Min(operation.DeadlineUs, operation.AskAtUs));
        }
    }

    public override void Sealed()
    {
        foreach (var operation in _operations.Values.Where(static o => !o.IsStoring || o.Write is null).ToArray())
        {
            Finish(operation, new RegisterAnswer.NotOpen());
        }
    }

    /// <summary>The epoch goes on under another name: what was caught is stored again, the same as before.</summary>
    public void Reopened()
    {
        foreach (var operation in _operations.Values)
        {
            operation.Tries = 0;
            operation.AskAtUs = Context.Now.NowUs;
            IsDueAt(operation.AskAtUs);
        }
    }

    public override void Ended(IMergedState? merged)
    {
        foreach (var operation in _operations.Values.ToArray())
        {
            Finish(
                operation,
                operation is not { IsStoring: true, Write: not null } ? new RegisterAnswer.NotOpen()
                : merged is null ? new RegisterAnswer.Indeterminate(operation.Attempt)
                : merged.VersionOf(operation.Key.Span).CompareTo(operation.Attempt.Version) >= 0 ? new RegisterAnswer.Written(operation.Attempt.Version)
                : new RegisterAnswer.NotOpen());
        }
    }

    private static ulong Bit(Voter voter) => 1UL << voter.Number;

    private Operation Begin(CallId call, ReadOnlyMemory<byte> key, long deadlineUs)
    {
        var operation = new Operation(Context.NextQuestion(), call, key, deadlineUs);
        _operations.Add(operation.Question.Number, operation);
        IsDueAt(deadlineUs);
        return operation;
    }

    /// <summary>Asks those that have not answered, itself among them.</summary>
    private void Ask(Operation operation)
    {
        var asked = operation.IsStoring ? operation.Holders : operation.Heard;
        for (ushort i = 0; i < Terms.Voters; i++)
        {
            if ((asked & (1UL << i)) == 0)
            {
                Send(new Voter(i), operation);
            }
        }

        var waitMs = Math.Min(Context.Options.SlowRetryMs, Context.Options.RetryMs * Math.Pow(2, operation.Tries++));
        operation.AskAtUs = Context.Now.NowUs + (long)(waitMs * 1000);
        IsDueAt(operation.AskAtUs);
    }

    private void IsDueAt(long us) => _dueUs = Math.Min(_dueUs, us);

    private void Send(Voter to, Operation operation)
    {
        RegisterMessage message = operation.IsStoring
            ? new Store(Terms.Epoch, operation.Question, operation.Best)
            : new Query(Terms.Epoch, operation.Question, operation.Key, WantsItem: operation.Write is null, operation.Above);
        if (to != Self)
        {
            Context.Send(to, message);
        }
        else if (message is Store store)
        {
            Acceptor.Receive(store, Later);
        }
        else
        {
            Acceptor.Receive((Query)message, Later);
        }
    }

    // What this replica says to itself waits for its disk as what it says to others does.
    private void Later(RegisterMessage reply, ulong after)
    {
        var epoch = Terms.Epoch;
        var self = Self;
        Context.When(after, () =>
        {
            if (Acceptor.Terms?.Epoch == epoch)
            {
                Receive(self, reply);
            }
        });
    }

    private void Answered(Operation operation, Voter from, QueryReply reply)
    {
        Saw(reply.Stamp);
        if (operation.IsStoring)
        {
            // An answer to the first phase that comes late still says who holds what is being stored.
            operation.Holders |= operation.Write is null && reply.Stamp >= operation.Best.Stamp ? Bit(from) : 0;
            FinishIfHeld(operation);
            return;
        }

        if ((operation.Heard & Bit(from)) != 0)
        {
            return;
        }

        operation.Heard |= Bit(from);
        if (reply.Stamp > operation.Best.Stamp)
        {
            operation.Best = reply.Item ?? Item.Gone(operation.Key, reply.Stamp);
            operation.Holders = 0;
        }

        operation.Holders |= reply.Stamp == operation.Best.Stamp ? Bit(from) : 0;
        if (BitOperations.PopCount(operation.Heard) < Majority)
        {
            return;
        }

        if (operation.Write is { } write)
        {
            var attempt = NameOf(write, wallMs: 0)!.Value;
            Invariant.Require(new Stamp(attempt.Version, Expired: false) > operation.Best.Stamp, "a write's version is above every one that was read");
            operation.Attempt = attempt;
            Store(operation, ItemOf(write, attempt), holders: 0);
        }
        else if (operation.Best.IsDue(Context.Now.WallMs))
        {
            Store(operation, operation.Best.AsExpired(), holders: 0);
        }
        else
        {
            Store(operation, operation.Best, operation.Holders);
        }
    }

    private void Store(Operation operation, Item item, ulong holders)
    {
        operation.IsStoring = true;
        operation.Best = item;
        operation.Holders = holders;
        operation.Tries = 0;
        if (!FinishIfHeld(operation))
        {
            Ask(operation);
        }
    }

    private bool FinishIfHeld(Operation operation)
    {
        if (BitOperations.PopCount(operation.Holders) < Majority)
        {
            return false;
        }

        Finish(operation, operation.Write is null ? AnswerOf(operation.Best) : new RegisterAnswer.Written(operation.Attempt.Version));
        return true;
    }

    private void Finish(Operation operation, RegisterAnswer answer)
    {
        _ = _operations.Remove(operation.Question.Number);
        Context.Answer(operation.Call, answer);
    }

    /// <summary>A read, or a write, on its way through its two phases.</summary>
    private sealed class Operation(QuestionId question, CallId call, ReadOnlyMemory<byte> key, long deadlineUs)
    {
        public QuestionId Question => question;

        public CallId Call => call;

        public ReadOnlyMemory<byte> Key => key;

        public long DeadlineUs => deadlineUs;

        /// <summary>What is written; null for a read.</summary>
        public RegisterInput.Write? Write { get; set; }

        /// <summary>The write's name, once it has one.</summary>
        public Attempt Attempt { get; set; }

        /// <summary>In the second phase.</summary>
        public bool IsStoring { get; set; }

        /// <summary>First phase: the newest that was met. Second: what is stored.</summary>
        public Item Best { get; set; }

        /// <summary>For a read: what this replica had when it began.</summary>
        public Stamp Above { get; set; }

        /// <summary>Voters that have answered the first phase.</summary>
        public ulong Heard { get; set; }

        /// <summary>Voters that hold <see cref="Best"/>, or something newer, on disk.</summary>
        public ulong Holders { get; set; }

        public int Tries { get; set; }

        public long AskAtUs { get; set; }
    }
}
