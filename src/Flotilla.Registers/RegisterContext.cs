namespace Flotilla.Registers;

/// <summary>
/// What the roles of one replica share: time, numbers, and where their effects go. All records of one batch of inputs go into one persist; what
/// speaks of them waits for its number.
/// </summary>
internal sealed class RegisterContext(RegisterOptions options, ulong boot, EpochMarks marks)
{
    private readonly SortedDictionary<(ulong After, ulong Place), Action> _waiting = [];
    private readonly Queue<Action> _ready = new();
    private List<RegisterRecord> _records = [];
    private List<RegisterEffect> _effects = [];
    private ulong _persists;
    private ulong _durable;
    private ulong _questions;
    private ulong _places;

    public RegisterOptions Options => options;

    public ulong Boot => boot;

    public Clocks Now { get; set; }

    /// <summary>The marks, those under way to the disk included.</summary>
    public EpochMarks Marks { get; private set; } = marks;

    /// <summary>The persist that will hold what is recorded now.</summary>
    public ulong NextPersist => _persists + 1;

    /// <summary>The last persist that was handed out.</summary>
    public PersistNumber LastPersist => new(_persists);

    public QuestionId NextQuestion() => new(boot, ++_questions);

    public bool IsDurable(ulong number) => number <= _durable;

    public ulong Record(RegisterRecord record)
    {
        _records.Add(record);
        if (record is RegisterRecord.Mark mark)
        {
            Marks = Marks.With(mark);
        }

        return NextPersist;
    }

    public void Send(Voter to, RegisterMessage message, ulong after = 0) =>
        _effects.Add(new RegisterEffect.Send(to, message, new PersistNumber(IsDurable(after) ? 0 : after)));

    public void Answer(CallId call, RegisterAnswer answer) => _effects.Add(new RegisterEffect.Answered(call, answer));

    public void Emit(RegisterEffect effect) => _effects.Add(effect);

    /// <summary>Does something once a persist is durable; never at once, so that whoever asks has finished what it is about.</summary>
    public void When(ulong durable, Action then)
    {
        if (IsDurable(durable))
        {
            _ready.Enqueue(then);
        }
        else
        {
            _waiting.Add((durable, ++_places), then);
        }
    }

    public void Persisted(ulong number)
    {
        Invariant.Require(number <= _persists, "the disk acknowledges only what it was given");
        _durable = Math.Max(_durable, number);
        while (_waiting.Count > 0 && _waiting.First() is var (place, then) && place.After <= _durable)
        {
            _ = _waiting.Remove(place);
            _ready.Enqueue(then);
        }
    }

    /// <summary>Does what has become ready, and what that makes ready.</summary>
    public void DoReady()
    {
        while (_ready.TryDequeue(out var then))
        {
            then();
        }
    }

    public IReadOnlyList<RegisterEffect> Take()
    {
        if (_records.Count > 0)
        {
            _effects.Insert(0, new RegisterEffect.Persist(new PersistNumber(++_persists), _records));
            _records = [];
        }

        if (_effects.Count == 0)
        {
            return [];
        }

        var taken = _effects;
        _effects = [];
        return taken;
    }
}
