namespace Flotilla.Registers.Async;

/// <summary>
/// Reads and writes by this replica alone, also when it is alone: a write is answered once it is on this disk, and sent to the others behind that.
/// </summary>
/// <remarks>
/// <para><b>What holds.</b> All replicas that have been given the same items hold the same, in whatever order those came: of each key the highest
/// stamp wins (<see cref="Overlays.Overlay"/>). Each write is sent to every other voter until it says that it has it (<see cref="Outbox"/>), and
/// what got lost with a process or a queue's end is found by comparing overlays (<see cref="Comparison"/>; DeCandia and others, "Dynamo", 2007,
/// section 4.7). So once the network heals and writing stops all become equal. Versions come from hybrid clocks: a write is above whatever its
/// replica had seen, so a client of one replica reads its own writes, or later ones.</para>
/// <para><b>What does not.</b> Of two writes at once on two sides of a cut the one with the higher version stays, and the other, though acknowledged, is
/// lost; which is higher is settled by clocks. A replica that is lost for ever takes with it what it had not sent.</para>
/// <para>Tombstones stay as long as the epoch: nothing late can bring back what was deleted (hazard 51).</para>
/// </remarks>
internal sealed class AsyncCoordinator : Coordinator
{
    private readonly SortedDictionary<ulong, Waiting> _waiting = [];
    private readonly SortedDictionary<Voter, Outbox> _outboxes = [];
    private readonly Comparison _comparison;
    private ulong _calls;
    private long _deadlineUs = Clocks.Never; // Not later than the earliest of those that wait.

    public AsyncCoordinator(RegisterContext context, Acceptor acceptor)
        : base(context, acceptor)
    {
        for (ushort i = 0; i < Terms.Voters; i++)
        {
            if (i != Self.Number)
            {
                _outboxes.Add(new Voter(i), new Outbox(context, acceptor, new Voter(i)));
            }
        }

        _comparison = new Comparison(context, acceptor, _outboxes, Take);
    }

    public override int Calls => _waiting.Count;

    public override long NextDueUs
    {
        get
        {
            var next = Math.Min(_comparison.NextDueUs, _deadlineUs);
            foreach (var (_, outbox) in _outboxes)
            {
                next = Math.Min(next, outbox.NextDueUs);
            }

            return next;
        }
    }

    /// <summary>Keys that some peer is still to be told of.</summary>
    public int Unsent => _outboxes.Values.Sum(static o => o.Count);

    public override void Get(RegisterInput.Get get)
    {
        var item = Acceptor.ItemOf(get.Key);
        var number = Acceptor.Overlay.UnsyncedIn(get.Key);
        if (item.IsDue(Context.Now.WallMs))
        {
            item = item.AsExpired();
            number = HoldAndTell(item);
        }

        AnswerWhen(number, get.Call, get.Key, get.DeadlineUs, AnswerOf(in item), new RegisterAnswer.NoQuorum());
    }

    public override void Write(RegisterInput.Write write)
    {
        if (NameOf(write, Context.Now.WallMs) is { } attempt)
        {
            var number = HoldAndTell(ItemOf(write, attempt));
            AnswerWhen(number, write.Call, write.Key, write.DeadlineUs, new RegisterAnswer.Written(attempt.Version), new RegisterAnswer.Indeterminate(attempt));
        }
        else
        {
            Context.Answer(write.Call, new RegisterAnswer.Indeterminate(write.Retry!.Value));
        }
    }

    public override void Receive(Voter from, RegisterMessage message)
    {
        switch (message)
        {
            case Spread spread:
                var number = 0UL;
                foreach (var item in spread.Items)
                {
                    number = Math.Max(number, Take(item));
                }

                Context.Send(from, new SpreadReply(spread.Epoch, spread.Question), number);
                break;
            case SpreadReply reply:
                if (_outboxes[from].Answered(reply.Question))
                {
                    _comparison.Hurry(from);
                }

                break;
            default:
                _comparison.Receive(from, message);
                break;
        }
    }

    public override void Tick()
    {
        if (_deadlineUs <= Context.Now.NowUs)
        {
            foreach (var (number, waiting) in _waiting.Where(w => w.Value.DeadlineUs <= Context.Now.NowUs).ToArray())
            {
                _ = _waiting.Remove(number);
                Context.Answer(waiting.Call, waiting.InVain);
            }

            _deadlineUs = _waiting.Count == 0 ? Clocks.Never : _waiting.Values.Min(static w => w.DeadlineUs);
        }

        if (Acceptor.Standing == EpochStanding.Open)
        {
            foreach (var (_, outbox) in _outboxes)
            {
                outbox.Tick();
            }

            _comparison.Tick();
        }
    }

    // What waits for the disk is in front of the mark of the seal there: it is answered as soon as it is durable, and the merge reads it.
    public override void Sealed()
    {
    }

    public override void Ended(IMergedState? merged)
    {
        foreach (var (number, waiting) in _waiting.ToArray())
        {
            _ = _waiting.Remove(number);
            Context.Answer(waiting.Call, waiting.InVain is not RegisterAnswer.Indeterminate { Attempt: var attempt } ? new RegisterAnswer.NotOpen()
                : merged is null ? waiting.InVain
                : merged.VersionOf(waiting.Key.Span).CompareTo(attempt.Version) >= 0 ? new RegisterAnswer.Written(attempt.Version)
                : new RegisterAnswer.NotOpen());
        }
    }

    /// <summary>Holds what another replica sent. Returns the persist that makes it durable.</summary>
    private ulong Take(Item item)
    {
        Saw(item.Stamp);
        return Acceptor.Hold(in item);
    }

    private ulong HoldAndTell(Item item)
    {
        var number = Take(item);
        Context.When(number, () =>
        {
            foreach (var (_, outbox) in _outboxes)
            {
                outbox.Add(item.Key);
            }
        });
        return number;
    }

    private void AnswerWhen(ulong number, CallId call, ReadOnlyMemory<byte> key, long deadlineUs, RegisterAnswer answer, RegisterAnswer inVain)
    {
        var place = ++_calls;
        _deadlineUs = Math.Min(_deadlineUs, deadlineUs);
        _waiting.Add(place, new Waiting(call, key, deadlineUs, inVain));
        Context.When(number, () =>
        {
            if (_waiting.Remove(place))
            {
                Context.Answer(call, answer);
            }
        });
    }

    private readonly record struct Waiting(CallId Call, ReadOnlyMemory<byte> Key, long DeadlineUs, RegisterAnswer InVain);
}
