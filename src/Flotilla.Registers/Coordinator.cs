namespace Flotilla.Registers;

/// <summary>The part of a replica that carries out what clients ask of it, in one mode. Any voter coordinates; none is special.</summary>
internal abstract class Coordinator(RegisterContext context, Acceptor acceptor)
{
    private HybridClock _clock;

    /// <summary>Calls that have no answer yet.</summary>
    public abstract int Calls { get; }

    /// <summary>When <see cref="Tick"/> has something to do.</summary>
    public abstract long NextDueUs { get; }

    protected RegisterContext Context => context;

    protected Acceptor Acceptor => acceptor;

    protected EpochTerms Terms => acceptor.Terms!;

    protected Voter Self => Terms.Self!.Value;

    public abstract void Get(RegisterInput.Get get);

    public abstract void Write(RegisterInput.Write write);

    public abstract void Receive(Voter from, RegisterMessage message);

    /// <summary>What is due now: deadlines, and questions that were not answered.</summary>
    public abstract void Tick();

    /// <summary>Nothing new is stored from here on.</summary>
    public abstract void Sealed();

    /// <summary>The epoch is over: settles what the seal caught, against the state as the last merge entry left it; null if that was missed.</summary>
    public abstract void Ended(IMergedState? merged);

    /// <summary>A version, or its epoch, was met: what is issued later is above it.</summary>
    public void Saw(Stamp stamp)
    {
        if (stamp.Version.ModeEpoch == Terms.ModeEpoch)
        {
            _clock.Saw(stamp.Version.Counter);
        }
    }

    public void Saw(ulong counter) => _clock.Saw(counter);

    /// <summary>Names a first attempt, above everything that was read and issued here; or an earlier one again, if it belongs to this epoch.</summary>
    protected Attempt? NameOf(RegisterInput.Write write, long wallMs)
    {
        var slotEpoch = Terms.Slots[Topology.Slot.Of(write.Key.Span)].Value;
        if (write.Retry is { } retry)
        {
            // Of an epoch that is over nobody here can tell what became of it.
            Saw(new Stamp(retry.Version, Expired: false));
            return retry.Version.ModeEpoch == Terms.ModeEpoch && retry.Version.SlotEpoch == slotEpoch ? retry : null;
        }

        var version = new Data.Version(slotEpoch, Terms.ModeEpoch, _clock.Issue(wallMs), Stamp.SubOf(Self, Context.Boot));
        var nowMs = Context.Now.WallMs;
        return new Attempt(version, write.TtlMs == 0 ? 0 : write.TtlMs > long.MaxValue - nowMs ? long.MaxValue : nowMs + write.TtlMs);
    }

    protected static Item ItemOf(RegisterInput.Write write, Attempt attempt)
    {
        var stamp = new Stamp(attempt.Version, Expired: false);
        return write.Deletes ? Item.Gone(write.Key, stamp) : Item.Of(write.Key, stamp, write.Value, attempt.ExpiresAtMs);
    }

    /// <summary>The answer to a read that ended with this.</summary>
    protected static RegisterAnswer AnswerOf(in Item item) => item.IsGone ? new RegisterAnswer.Absent() : new RegisterAnswer.Found(item);
}
