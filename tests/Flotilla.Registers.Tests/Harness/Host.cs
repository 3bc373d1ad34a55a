namespace Flotilla.Registers.Tests.Harness;

/// <summary>One node: a register replica, the state of its log, and a disk that keeps what was synced and forgets the rest at a crash.</summary>
internal sealed class Host(Voter id, RegisterOptions options, List<LogEntry> log)
{
    private readonly List<RegisterEffect.Persist> _unsynced = [];
    private readonly List<RegisterEffect.Send> _waiting = [];
    private readonly List<RegisterRecord> _disk = [];
    private ulong _synced;
    private RegisterCheckpoint? _checkpoint;

    public Voter Id => id;

    public RegisterReplica? Replica { get; private set; }

    public ShardState State { get; private set; } = new(id);

    public ulong Boot { get; private set; }

    public Clocks Now { get; set; }

    /// <summary>The disk acknowledges nothing by itself.</summary>
    public bool IsDiskHeld { get; set; }

    public IReadOnlyList<RegisterEffect.Persist> Unsynced => _unsynced;

    public Action<RegisterEffect.Persist> Persisting { get; set; } = static _ => { };

    public Action<Voter, RegisterMessage> Sending { get; set; } = static (_, _) => { };

    public Action<CallId, RegisterAnswer> Answering { get; set; } = static (_, _) => { };

    public Action<RegisterEffect.Merged> Merging { get; set; } = static _ => { };

    /// <summary>Everything up to here was said to be durable and is on the disk.</summary>
    public IReadOnlyList<RegisterRecord> Disk => _disk;

    /// <summary>Starts the process: from its disk, and as much of the log as its marks stand for, or more.</summary>
    public void Start(int applied = 0)
    {
        var recovery = _checkpoint is { } checkpoint ? new RegisterRecovery(checkpoint.Marks, checkpoint.Items) : new RegisterRecovery();
        _disk.ForEach(recovery.Apply);
        var through = Math.Max(applied, (int)recovery.Marks.Through);
        Replica = new RegisterReplica(options, ++Boot, recovery);
        State = new ShardState(id);
        _synced = 0;

        // As a shard does: what it applies up to where it was is told as one state, if anything is open there.
        while (State.Applied < through)
        {
            if (State.Apply(log[State.Applied]) is RegisterInput.End)
            {
                State.Log.Forget();
            }
        }

        var marks = Replica.Marks;
        if (State.Epochs.IsRunning)
        {
            Step(new RegisterInput.Open(State.Terms()));
            if (State.Epochs.IsSealed)
            {
                Step(new RegisterInput.Seal(State.Epochs.Epoch, (ulong)State.Applied));
            }
        }
        else if (marks.Opened > marks.Ended)
        {
            Step(new RegisterInput.End(marks.Opened, (ulong)State.Applied, null));
        }
    }

    /// <summary>Ends the process. What was not synced is lost, but for the first so many persists.</summary>
    public void Crash(int kept = 0)
    {
        foreach (var persist in _unsynced.Take(kept))
        {
            _disk.AddRange(persist.Records);
        }

        Replica = null;
        _unsynced.Clear();
        _waiting.Clear();
    }

    /// <summary>Writes a checkpoint, and forgets all records that it stands for.</summary>
    public void Checkpoint()
    {
        if (_unsynced.Count == 0)
        {
            _checkpoint = Replica!.TakeCheckpoint();
            _disk.Clear();
        }
    }

    /// <summary>Applies the next entry of the log. False if there is none.</summary>
    public bool ApplyNext()
    {
        if (State.Applied >= log.Count)
        {
            return false;
        }

        if (State.Apply(log[State.Applied]) is { } input)
        {
            Step(input);
            if (input is RegisterInput.End)
            {
                State.Log.Forget();
            }
        }

        return true;
    }

    public void Step(RegisterInput input)
    {
        Replica!.Step(input, Now);
        Pump();
    }

    /// <summary>The disk completes the first so many persists.</summary>
    public void Sync(int count = int.MaxValue)
    {
        for (; count > 0 && _unsynced.Count > 0; count--)
        {
            var persist = _unsynced[0];
            _unsynced.RemoveAt(0);
            _disk.AddRange(persist.Records);
            _synced = persist.Number.Value;
            Replica!.Step(new RegisterInput.Persisted(persist.Number), Now);
            foreach (var send in _waiting.Where(s => s.After.Value <= _synced).ToArray())
            {
                _ = _waiting.Remove(send);
                Sending(send.To, send.Message);
            }

            Pump();
        }
    }

    private void Pump()
    {
        while (Replica?.TakeEffects() is { Count: > 0 } effects)
        {
            foreach (var effect in effects)
            {
                switch (effect)
                {
                    case RegisterEffect.Persist persist:
                        Persisting(persist);
                        _unsynced.Add(persist);
                        break;
                    case RegisterEffect.Send send when send.After.Value > _synced:
                        _waiting.Add(send);
                        break;
                    case RegisterEffect.Send send:
                        Sending(send.To, send.Message);
                        break;
                    case RegisterEffect.Answered answered:
                        Answering(answered.Call, answered.Answer);
                        break;
                    case RegisterEffect.Merged merged:
                        Merging(merged);
                        break;
                    default:
                        throw new InvalidOperationException($"{effect}");
                }
            }

            if (!IsDiskHeld)
            {
                Sync();
            }
        }
    }
}
