using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Simulation.Invariants;
using Flotilla.Simulation.Time;
using Flotilla.Storage;
using Flotilla.Storage.Snapshots;
using Flotilla.Testing;
using Flotilla.Topology;
using Flotilla.Topology.Gossip;

namespace Flotilla.Simulation.Nodes;

/// <summary>
/// One node: the shell around its replicas, as the real one is but on virtual time. It drains what waits, steps each
/// replica, writes one batch for all of them into the real write-ahead log on a simulated disk, one sync at a time, and
/// sends what waited for it.
/// </summary>
public sealed partial class SimulatedNode
{
    private const int MaxIdleSteps = 2000;
    private readonly World _world;
    private readonly Chance _chance;
    private readonly List<(HostedReplica Replica, Effect.Persist Persist)> _toPersist = [];
    private readonly List<(HostedReplica Replica, LogIndex Through)> _toRelease = [];
    private List<(HostedReplica Replica, Effect.Persist Persist)> _beingSynced = [];
    private List<(HostedReplica Replica, LogIndex Through)> _beingReleased = [];
    private readonly List<HostedReplica> _replicas;
    private Wal? _wal;
    private SnapshotStore? _store;
    private SimulatedSnapshots? _snapshots;
    private bool _runScheduled;
    private bool _syncing;
    private bool _hadLog;

    /// <summary>A node that is down.</summary>
    public SimulatedNode(World world, int number, NodeId id, IReadOnlyList<ShardGenesis> shards, Chance chance)
    {
        _world = world;
        _chance = chance;
        Number = number;
        Id = id;
        Timing = new DiskTiming(chance.Fork());
        Clock = new NodeClock(world.Scheduler, chance.Between(0, 1_000_000_000_000)) { WallSkewMs = world.Options.SkewedClocks ? chance.Between(-3_000, 3_000) : 0 };
        Incarnation = new Incarnation(chance.Next() | 1);
        _replicas = [.. shards.Select(s => new HostedReplica(this, s))];
    }

    /// <summary>Its place in the network.</summary>
    public int Number { get; }

    /// <summary>Its name.</summary>
    public NodeId Id { get; }

    /// <summary>Its data directory.</summary>
    public Incarnation Incarnation { get; private set; }

    /// <summary>Its disk.</summary>
    public SimulatedDisk Disk { get; private set; } = new();

    /// <summary>How fast the disk is.</summary>
    public DiskTiming Timing { get; }

    /// <summary>Its clocks.</summary>
    public NodeClock Clock { get; }

    /// <summary>Its replicas, ordered by shard.</summary>
    public IReadOnlyList<HostedReplica> Replicas => _replicas;

    /// <summary>The process runs.</summary>
    public bool Up { get; private set; }

    /// <summary>The process is stopped (SIGSTOP).</summary>
    public bool Paused { get; private set; }

    /// <summary>Its disk was lost with all that was on it: it must be given its seat again, which takes a membership change.</summary>
    public bool Wiped { get; private set; }

    /// <summary>Undoes the damage to its disk; null if there is none.</summary>
    public Action? Restore { get; set; }

    /// <summary>Batches that its disk has acknowledged so far.</summary>
    public int Batches { get; private set; }

    /// <summary>Starts so far.</summary>
    public int Boot { get; private set; }

    /// <summary>When it was last stopped, went on, or started: answers may be late for a while.</summary>
    public long DisturbedAtUs { get; private set; }

    /// <summary>Writes are under way to the disk.</summary>
    public bool Syncing => _syncing;

    /// <summary>Starts the process from what the disk holds.</summary>
    public void Start()
    {
        _wal = Wal.Open(Disk, new WalOptions { SegmentBytes = _world.Options.SegmentBytes, MustExist = _hadLog, Owner = Incarnation.Value, GenerationSeed = _chance.Next() });
        var store = _store = SnapshotStore.Open(Disk.Folder("snapshots"), new SnapshotOptions { IdSeed = _chance.Next(), Retired = _retired.Keys.ToHashSet() });
        ForgetRetired();
        Boot++;
        _snapshots = new SimulatedSnapshots(_world, this, store, _chance.Fork());
        Up = true;
        Paused = false;
        DisturbedAtUs = _world.Scheduler.NowUs;
        Restore = null;
        _hadLog = true;
        _world.Say(this, $"starts, boot {Boot}, {Incarnation}");
        BeginQuiet();
        BeginTopology();
        foreach (var hosted in Replicas)
        {
            StartReplica(hosted, store);
        }

        ScheduleRun();
    }

    /// <summary>Ends the process, and with <paramref name="power"/> the machine: what was not synced may be lost, and torn.</summary>
    public void Stop(bool power)
    {
        if (!Up)
        {
            return;
        }

        _world.Say(this, power ? "loses power" : "is killed");
        if (_syncing)
        {
            // It dies somewhere in the middle of the batch, at its very end perhaps, with nobody told.
            WriteUnacknowledged();
        }

        _snapshots!.Interrupt(Disk);
        Up = false;
        Paused = false;
        _syncing = false;
        _toPersist.Clear();
        _toRelease.Clear();
        _beingSynced = [];
        _beingReleased = [];
        _toForget.Clear();
        _beingForgotten = [];
        if (power)
        {
            Disk.Crash(_chance.Next());
        }
        else
        {
            Disk.Kill();
        }

        EndTopology();
        _wal = null;
    }

    /// <summary>Replaces the disk by an empty one. The node must be down.</summary>
    public void Wipe()
    {
        _world.Say(this, "is wiped");
        Disk = new SimulatedDisk();
        Incarnation = new Incarnation(_chance.Next() | 1);
        Wiped = true;
        _hadLog = false;
        _keptTable = GossipTable.Empty;
        _retired.Clear();
    }

    /// <summary>What a shard has committed, up to where a snapshot says that a log begins.</summary>
    internal IReadOnlyList<(Term Term, ulong Chain)> CommittedUpTo(ShardId shard, LogBase through) => _world.Committed.Prefix(shard, through);

    /// <summary>Its new disk has been given its seats.</summary>
    public void IsWhole() => Wiped = false;

    /// <summary>SIGSTOP.</summary>
    public void Pause()
    {
        Paused = true;
        DisturbedAtUs = long.MaxValue;
        _world.Say(this, "is stopped");
    }

    /// <summary>SIGCONT.</summary>
    public void Continue()
    {
        if (Paused)
        {
            Paused = false;
            DisturbedAtUs = _world.Scheduler.NowUs;
            _world.Say(this, "goes on");
            ScheduleRun();
        }
    }

    /// <summary>Hands an input to a replica; it is taken with whatever else has arrived until then.</summary>
    public void Post(HostedReplica hosted, Action<Replica, ClockReading> input)
    {
        if (Up && !hosted.IsGone)
        {
            hosted.Inbox.Add(input);
            ScheduleRun();
        }
    }

    /// <summary>It would rather not lead; until it is told otherwise, or ends.</summary>
    public void SetReluctant(bool reluctant)
    {
        foreach (var hosted in Replicas)
        {
            Post(hosted, (replica, _) => replica.Reluctant = reluctant);
        }
    }

    /// <summary>Its disk is full, or has room again; until it is told otherwise, or ends. As a node's, it would rather not lead then.</summary>
    public void SetFull(bool full)
    {
        foreach (var hosted in Replicas)
        {
            Post(hosted, (replica, _) => replica.Reluctant = replica.HasNoRoom = full);
        }
    }

    private void ScheduleRun()
    {
        if (_runScheduled || !Up || Paused)
        {
            return;
        }

        _runScheduled = true;
        var boot = Boot;
        _world.Scheduler.After(_chance.Between(1, 60), () =>
        {
            _runScheduled = false;
            if (Up && !Paused && boot == Boot)
            {
                Run();
            }
            else
            {
                ScheduleRun();
            }
        });
    }

    private void Run()
    {
        var clock = Clock.Read();
        ListenFirst();
        foreach (var hosted in Replicas)
        {
            if (hosted.Inbox.Count > 0 || hosted.Replica.NextDeadline <= clock.Now || hosted.WakeAtUs == long.MaxValue)
            {
                Step(hosted, clock);
            }
        }

        TickQuiet(clock);
        StartSync();
    }

    private void Step(HostedReplica hosted, ClockReading clock)
    {
        var replica = hosted.Replica;
        BeforeStep(hosted);
        var inbox = hosted.TakeInbox();
        foreach (var input in inbox)
        {
            input(replica, clock);
        }

        if (replica.NextDeadline <= clock.Now)
        {
            replica.Tick(clock);
        }

        var output = replica.Flush(clock);
        foreach (var effect in output.Effects)
        {
            CarryOut(hosted, effect);
        }

        foreach (var invariant in _world.Invariants)
        {
            invariant.Stepped(hosted);
        }

        TellOfMoves(hosted, output);
        if (output.Image is { } image)
        {
            _snapshots!.Write(hosted, image);
        }

        var busy = output.Image is not null || inbox.Count + output.Effects.Count + output.Replies.Count + output.Pages.Count > 0;
        foreach (var (id, result) in output.Replies)
        {
            if (!hosted.Requests.Remove(id.Value, out var answer))
            {
                throw new SimulationException($"{hosted.Name} answers request {id.Value} that it does not owe an answer");
            }

            answer(result);
        }

        foreach (var (id, page) in output.Pages)
        {
            if (!hosted.Scans.Remove(id.Value, out var answer))
            {
                throw new SimulationException($"{hosted.Name} answers scan {id.Value} that it does not owe an answer");
            }

            answer(page);
        }

        hosted.IdleSteps = busy || replica.NextDeadline > clock.Now ? 0 : hosted.IdleSteps + 1;
        if (hosted.IdleSteps > MaxIdleSteps)
        {
            throw new SimulationException($"{hosted.Name} asks to be woken at {replica.NextDeadline.Microseconds}, which is past, and does nothing then");
        }

        AfterStep(hosted, clock.Now);
        Wake(hosted);
    }

    private void Wake(HostedReplica hosted)
    {
        var at = Math.Max(Clock.TrueTimeOf(hosted.Replica.NextDeadline), _world.Scheduler.NowUs + 20);
        if (at >= hosted.WakeAtUs && hosted.WakeAtUs > _world.Scheduler.NowUs)
        {
            return; // An earlier wake-up is under way, which will look again.
        }

        hosted.WakeAtUs = at;
        var boot = Boot;
        _world.Scheduler.At(at, () =>
        {
            if (Up && boot == Boot && hosted.WakeAtUs == at)
            {
                hosted.WakeAtUs = long.MaxValue;
                ScheduleRun();
            }
        });
    }

    private void CarryOut(HostedReplica hosted, Effect effect)
    {
        switch (effect)
        {
            case Effect.Persist persist:
                hosted.Emitted(persist, _world.Scheduler.NowUs);
                _toPersist.Add((hosted, persist));
                if (_world.Transcript.On)
                {
                    _world.Say(hosted, Transcript.Describe(persist));
                }

                foreach (var invariant in _world.Invariants)
                {
                    invariant.Persisting(hosted, persist);
                }

                break;
            case Effect.Send send when send.After.Value <= hosted.DurableSequence.Value:
                Send(hosted, send);
                break;
            case Effect.Send send:
                hosted.WaitingSends.Add(send);
                break;
            case Effect.Fetch fetch:
                Fetch(hosted, fetch);
                break;
            case Effect.Release release:
                _toRelease.Add((hosted, release.Through));
                break;
            case Effect.ReadSnapshot read:
                _snapshots!.Read(hosted, read);
                break;
            case Effect.StoreSnapshot store:
                _snapshots!.Store(hosted, store);
                break;
            case Effect.DropSnapshot drop:
                _snapshots!.Drop(hosted, drop.Snapshot);
                break;
            case Effect.ConfigurationChanged changed:
                _world.Say(hosted, $"goes by {changed.Configuration}");
                _world.Reconfigured?.Invoke(hosted, changed.Configuration);
                break;
            case Effect.RoleChanged change:
                _world.Say(hosted, $"{change.Role} {change.Term} leader {change.Leader}");
                if (change.Role == Role.Leader)
                {
                    _world.LeaderElected?.Invoke(hosted);
                }

                break;
            default:
                throw new SimulationException($"{hosted.Name}: nobody knows how to carry out {effect}");
        }
    }

    private void Send(HostedReplica hosted, Effect.Send send)
    {
        foreach (var invariant in _world.Invariants)
        {
            invariant.Sending(hosted, send.To, send.Message);
        }

        _world.Send(hosted, send.To, send.Message);
    }

    private void Fetch(HostedReplica hosted, Effect.Fetch fetch)
    {
        _world.Count("fetch");
        var boot = Boot;
        _world.Scheduler.After(Timing.ReadUs(), () =>
        {
            if (Up && boot == Boot)
            {
                var entries = new List<Entry>();
                _wal!.TryRead(hosted.Genesis.Group, fetch.From, fetch.Through, fetch.MaxBytes, entries);
                Post(hosted, (replica, clock) => replica.EntriesFetched(fetch.To, entries, clock));
            }
        });
    }
}
