using Flotilla.Raft;
using Flotilla.Shards;

namespace Flotilla.Simulation.Nodes;

/// <summary>One replica as its node hosts it: inputs that wait, messages that wait for the disk, and what its disk should hold.</summary>
public sealed class HostedReplica(SimulatedNode node, ShardGenesis genesis)
{
    private readonly Queue<(Effect.Persist Persist, long SinceUs)> _underWay = new();

    /// <summary>The node.</summary>
    public SimulatedNode Node => node;

    /// <summary>The shard.</summary>
    public ShardGenesis Genesis => genesis;

    /// <summary>The replica; a new one after each start of the node.</summary>
    public Replica Replica { get; private set; } = null!;

    /// <summary>Inputs that the next step takes.</summary>
    public List<Action<Replica, ClockReading>> Inbox { get; private set; } = [];

    /// <summary>Messages that wait for the disk, in order.</summary>
    public List<Effect.Send> WaitingSends { get; } = [];

    /// <summary>Requests without an answer, and where the answer goes.</summary>
    public SortedDictionary<ulong, Action<CommandResult>> Requests { get; } = [];

    /// <summary>Scans without an answer, likewise.</summary>
    public SortedDictionary<ulong, Action<ScanPage>> Scans { get; } = [];

    /// <summary>The log as the replica has it.</summary>
    public LogMirror Log { get; private set; } = new();

    /// <summary>The log as the disk has acknowledged it.</summary>
    public LogMirror DurableLog { get; private set; } = new();

    /// <summary>Term and vote as the disk has acknowledged them.</summary>
    public HardState DurableState { get; private set; }

    /// <summary>The last acknowledged persist.</summary>
    public PersistSequence DurableSequence { get; private set; }

    /// <summary>The last entry that was on disk at the start.</summary>
    public LogIndex FoundAtStart { get; private set; }

    /// <summary>Since when the disk owes an acknowledgement, in virtual time; far ahead if it owes none.</summary>
    public long OwedSinceUs => _underWay.Count == 0 ? long.MaxValue : _underWay.Peek().SinceUs;

    /// <summary>Snapshots that leaders sent and that were installed, over all starts.</summary>
    public int Installed { get; set; }

    /// <summary>When a wake-up is scheduled, in virtual time.</summary>
    public long WakeAtUs { get; set; } = long.MaxValue;

    /// <summary>Steps in a row that did nothing and asked for another at once.</summary>
    public int IdleSteps { get; set; }

    /// <summary>Who and where, for messages to people.</summary>
    public string Name => $"{node.Id}/s{genesis.Shard}";

    /// <summary>A new process has taken over.</summary>
    public void Started(Replica replica, HardState hardState, LogMirror log)
    {
        Replica = replica;
        Inbox = [];
        WaitingSends.Clear();
        Requests.Clear();
        Scans.Clear();
        _underWay.Clear();
        Log = log;
        DurableLog = log.Copy();
        FoundAtStart = log.Last;
        DurableState = hardState;
        DurableSequence = default;
        WakeAtUs = long.MaxValue;
        IdleSteps = 0;
    }

    /// <summary>It was taken away: its shard is retired.</summary>
    public bool IsGone { get; private set; }

    /// <summary>It is taken away.</summary>
    public void End()
    {
        IsGone = true;
        Inbox = [];
        WaitingSends.Clear();
        Requests.Clear();
        Scans.Clear();
    }

    /// <summary>The replica wants this on disk.</summary>
    public void Emitted(Effect.Persist persist, long nowUs)
    {
        Write(Log, persist);
        _underWay.Enqueue((persist, persist.MustSync ? nowUs : long.MaxValue));
    }

    /// <summary>The disk has everything up to a persist.</summary>
    public void Acknowledged(PersistSequence sequence)
    {
        while (_underWay.TryPeek(out var first) && first.Persist.Sequence.Value <= sequence.Value)
        {
            var persist = _underWay.Dequeue().Persist;
            Write(DurableLog, persist);
            DurableState = persist.HardState ?? DurableState;
        }

        DurableSequence = sequence;
    }

    private void Write(LogMirror log, Effect.Persist persist)
    {
        if (persist.ResetTo is { } reset)
        {
            log.ResetTo(node.CommittedUpTo(genesis.Shard, reset));
        }

        log.Write(persist.Entries);
    }

    /// <summary>Takes all that waits.</summary>
    public List<Action<Replica, ClockReading>> TakeInbox()
    {
        var inbox = Inbox;
        Inbox = [];
        return inbox;
    }
}
