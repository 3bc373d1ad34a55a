using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Shards.Handoff;
using Flotilla.Topology;

namespace Flotilla.Shards.Tests.Harness;

/// <summary>
/// All replicas of one shard under virtual time: a network of 1 ms with links that can be cut, disks of 0.2 ms that
/// forget what they did not acknowledge, one wall clock per node. Checks on the way that no request is answered twice
/// and that replicas with equal logs have equal states.
/// </summary>
internal sealed class Fleet
{
    private const long MessageMicroseconds = 1000;
    private const long SyncMicroseconds = 200;
    private const long SnapshotMicroseconds = 20_000;

    private readonly PriorityQueue<Action, (long At, long Order)> _events = new();
    private readonly Dictionary<LogIndex, ulong> _digests = [];
    private readonly HashSet<RequestId> _asked = [];
    private readonly Dictionary<ulong, SnapshotFileOf> _files = [];
    private readonly ReplicaOptions _options;
    private readonly bool _model;
    private long _order;
    private ulong _lastRequest;
    private ulong _lastSnapshot;

    public Fleet(int nodes, ReplicaOptions? options = null, IReadOnlyList<Slot>? slots = null, bool model = false, int shard = 1)
    {
        _options = options ?? new ReplicaOptions();
        _model = model;
        NodeId[] ids = [.. Enumerable.Range(1, nodes).Select(i => new NodeId($"n{i}"))];
        Genesis = new ShardGenesis(new ShardId(shard), new GroupId(6 + (ulong)shard), ids, slots ?? Words.AllSlots);
        Nodes = [.. ids.Select((id, i) => new FleetNode(id, new Incarnation((ulong)i + 100)))];
        foreach (var node in Nodes)
        {
            Start(node);
        }
    }

    public ShardGenesis Genesis { get; }

    public FleetNode[] Nodes { get; }

    public long NowMicroseconds { get; private set; } = 1_000_000;

    public Instant Now => new(NowMicroseconds);

    public Dictionary<RequestId, CommandResult> Answers { get; } = [];

    public Dictionary<RequestId, ScanPage> Pages { get; } = [];

    /// <summary>Told of what is to be sent to other shards.</summary>
    public Action<ShardId, HandoffMessage> ToOthers { get; set; } = (_, _) => { };

    /// <summary>Links that lose what is sent over them, in this direction.</summary>
    public HashSet<(NodeId From, NodeId To)> CutLinks { get; } = [];

    /// <summary>Told of every message that arrives.</summary>
    public Action<NodeId, NodeId, Message> Delivered { get; set; } = (_, _, _) => { };

    /// <summary>Requests in the order of their answers.</summary>
    public List<RequestId> Answered { get; } = [];

    public FleetNode Leader => Nodes.Single(n => n.Replica is { Raft.AcceptsProposals: true });

    public static Fleet Led(int nodes, ReplicaOptions? options = null)
    {
        var fleet = new Fleet(nodes, options);
        fleet.Until(() => fleet.Nodes.Count(n => n.Replica!.Raft.AcceptsProposals) == 1);
        return fleet;
    }

    public ClockReading Clock(FleetNode node) => new(Now, (NowMicroseconds / 1000) + 1_700_000_000_000 + node.WallOffsetMs);

    /// <summary>Starts a node from what its disk holds.</summary>
    public void Start(FleetNode node)
    {
        node.Generation++;
        var recovered = node.Recovery();
        var restored = recovered.Snapshot is { } snapshot ? _files[snapshot.Id].Load() : default;
        recovered = recovered with { SnapshotConfiguration = restored.Configuration };
        node.Replica = new Replica(
            Genesis, node.Id, node.Incarnation, _options, recovered, (ulong)(node.Generation * 31) + node.Incarnation.Value, Clock(node),
            restored.State is null ? (_model ? new SortedStore() : new BTree()) : null, restored.State);
        Step(node);
    }

    /// <summary>Ends a process: what its disk did not acknowledge is lost.</summary>
    public static void Kill(FleetNode node) => node.Replica = null;

    public static void Isolate(FleetNode node) => node.Cut = true;

    public static void Rejoin(FleetNode node) => node.Cut = false;

    public RequestId Execute(FleetNode node, Command command, double deadlineMs = 5000)
    {
        var id = NextId();
        node.Replica!.Execute(id, command, Now.PlusMs(deadlineMs), Clock(node));
        Step(node);
        return id;
    }

    public RequestId Get(FleetNode node, string key, bool stale = false, double deadlineMs = 5000)
    {
        var id = NextId();
        node.Replica!.Get(id, Words.B(key), stale, Now.PlusMs(deadlineMs), Clock(node));
        Step(node);
        return id;
    }

    public RequestId Scan(FleetNode node, ScanRequest request, bool stale = false)
    {
        var id = NextId();
        node.Replica!.Scan(id, in request, stale, Now.PlusMs(5000), Clock(node));
        Step(node);
        return id;
    }

    public RequestId NextId()
    {
        var id = new RequestId(++_lastRequest);
        _asked.Add(id);
        return id;
    }

    /// <summary>The result of a request, after letting time pass until it is there.</summary>
    public CommandResult Result(RequestId id)
    {
        Until(() => Answers.ContainsKey(id));
        return Answers[id];
    }

    public ResultCode? Code(RequestId id) => Answers.TryGetValue(id, out var result) ? result.Code : null;

    public void Run(double ms)
    {
        var end = NowMicroseconds + (long)(ms * 1000);
        while (Next(end))
        {
        }

        NowMicroseconds = end;
    }

    public void Until(Func<bool> condition, double maxMs = 20_000)
    {
        var end = NowMicroseconds + (long)(maxMs * 1000);
        while (!condition())
        {
            Assert.True(Next(end), $"It did not come true within {maxMs} ms of simulated time.");
        }
    }

    /// <summary>Flushes a node and carries its effects out.</summary>
    public ReplicaOutput Step(FleetNode node)
    {
        var output = node.Replica!.Flush(Clock(node));
        foreach (var effect in output.Effects)
        {
            CarryOut(node, effect);
        }

        foreach (var (shard, _, message) in output.Handoffs)
        {
            ToOthers(shard, message);
        }

        if (output.Image is { } image)
        {
            Write(node, new SnapshotFileOf(image, ++_lastSnapshot));
        }

        foreach (var (id, result) in output.Replies)
        {
            Assert.True(_asked.Remove(id), $"Request {id} was answered twice or never made.");
            Answers.Add(id, result);
            Answered.Add(id);
        }

        foreach (var (id, page) in output.Pages)
        {
            Assert.True(_asked.Remove(id), $"Request {id} was answered twice or never made.");
            Pages.Add(id, page);
            Answered.Add(id);
        }

        if (node.Replica.LastApplied != node.Compared)
        {
            node.Compared = node.Replica.LastApplied;
            CompareStates(node.Replica);
        }

        return output;
    }

    // The next event or deadline of a node, whichever comes first; false if there is none before the end.
    private bool Next(long end)
    {
        var due = _events.TryPeek(out _, out var at) ? at.At : long.MaxValue;
        FleetNode? ticks = null;
        foreach (var node in Nodes)
        {
            if (node.Replica is { } replica && replica.NextDeadline.Microseconds < due)
            {
                due = replica.NextDeadline.Microseconds;
                ticks = node;
            }
        }

        if (due > end)
        {
            return false;
        }

        // A step takes a while, so that a replica which always has more to do gets on.
        NowMicroseconds = Math.Max(NowMicroseconds + (ticks is null ? 0 : 1), due);
        if (ticks is not null)
        {
            ticks.Replica!.Tick(Clock(ticks));
            Step(ticks);
        }
        else
        {
            _events.Dequeue()();
        }

        return true;
    }

    private void CarryOut(FleetNode node, Effect effect)
    {
        var generation = node.Generation;
        switch (effect)
        {
            case Effect.Persist persist:
                node.Asked.Enqueue(persist);
                After(SyncMicroseconds, () => Sync(node, generation));
                break;
            case Effect.Send send when send.After.Value <= node.Durable:
                Send(node, send);
                break;
            case Effect.Send send:
                node.Held.Add(send);
                break;
            case Effect.Release release:
                node.Log.RemoveAll(e => e.Index <= release.Through);
                node.Base = new LogBase(release.Through, node.Replica!.Raft.Log.TermAt(release.Through)!.Value);
                break;
            case Effect.ReadSnapshot read:
                var piece = _files[read.Snapshot.Id].Piece(read.Offset, read.MaxBytes);
                Later(node, SyncMicroseconds, (replica, clock) => replica.SnapshotRead(read.To, read.Snapshot.Id, read.Offset, piece, 0, clock));
                break;
            case Effect.StoreSnapshot store:
                Receive(node, store);
                break;
            case Effect.Fetch fetch:
                node.Fetches++;
                After(SyncMicroseconds, () =>
                {
                    if (node.Replica is { } replica && node.Generation == generation)
                    {
                        var entries = node.FailFetches > 0 && node.FailFetches-- > 0 ? [] : node.Log.Where(e => e.Index >= fetch.From && e.Index <= fetch.Through).Take(7).ToArray();
                        replica.EntriesFetched(fetch.To, entries, Clock(node));
                        Step(node);
                    }
                });
                break;
        }
    }

    private void Later(FleetNode node, long microseconds, Action<Replica, ClockReading> what)
    {
        var generation = node.Generation;
        After(microseconds, () =>
        {
            if (node.Replica is { } replica && node.Generation == generation)
            {
                what(replica, Clock(node));
                Step(node);
            }
        });
    }

    private void Write(FleetNode node, SnapshotFileOf file)
    {
        node.SnapshotsTaken++;
        var fails = node.FailSnapshots > 0 && node.FailSnapshots-- > 0;
        Later(node, SnapshotMicroseconds, (replica, clock) =>
        {
            if (!fails)
            {
                _files.Add(file.Meta.Id, file);
                node.Snapshot = file.Meta;
            }

            replica.SnapshotTaken(fails ? null : file.Meta, clock);
        });
    }

    private void Receive(FleetNode node, Effect.StoreSnapshot store)
    {
        var next = store.Offset + store.Data.Length;
        Later(node, SyncMicroseconds, (replica, clock) => replica.SnapshotStored(store.Snapshot.Id, next, clock));
        if (next == store.Snapshot.Bytes)
        {
            Later(node, SnapshotMicroseconds, (replica, clock) =>
            {
                node.SnapshotsInstalled++;
                var (state, configuration) = _files[store.Snapshot.Id].Load();
                node.Snapshot = node.Snapshot?.Index > store.Snapshot.Index ? node.Snapshot : store.Snapshot;
                replica.SnapshotInstalled(store.Snapshot, state!, configuration!, clock);
            });
        }
    }

    private void Sync(FleetNode node, int generation)
    {
        if (node.Replica is null || node.Generation != generation || node.Asked.Count == 0 || node.DiskHangs)
        {
            return;
        }

        var persist = node.Asked.Dequeue();
        node.Store(persist);
        node.Replica.Persisted(persist.Sequence, Clock(node));
        foreach (var send in node.Held.Where(s => s.After.Value <= node.Durable).ToArray())
        {
            node.Held.Remove(send);
            Send(node, send);
        }

        Step(node);
    }

    private void Send(FleetNode from, Effect.Send send)
    {
        var to = Nodes.Single(n => n.Id == send.To);
        After(MessageMicroseconds, () =>
        {
            if (to.Replica is { } replica && !from.Cut && !to.Cut && !CutLinks.Contains((from.Id, to.Id)))
            {
                Delivered(from.Id, to.Id, send.Message);
                replica.Receive(from.Id, from.Incarnation, send.Message, Clock(to));
                Step(to);
            }
        });
    }

    private void After(long microseconds, Action action) => _events.Enqueue(action, (NowMicroseconds + microseconds, _order++));

    private void CompareStates(Replica replica)
    {
        var digest = replica.StateDigest();
        if (!_digests.TryAdd(replica.LastApplied, digest))
        {
            Assert.Equal(_digests[replica.LastApplied], digest);
        }
    }
}

/// <summary>One node of a <see cref="Fleet"/>, and what its disk holds.</summary>
internal sealed class FleetNode(NodeId id, Incarnation incarnation)
{
    private HardState _hardState;
    private IdentityState _identity = IdentityState.Empty;

    public NodeId Id { get; } = id;

    public Incarnation Incarnation { get; } = incarnation;

    public Replica? Replica { get; set; }

    public int Generation { get; set; }

    /// <summary>The last applied index at which its state was compared with the others'.</summary>
    public LogIndex Compared { get; set; }

    public long WallOffsetMs { get; set; }

    public bool Cut { get; set; }

    /// <summary>From now on its disk makes nothing durable.</summary>
    public bool DiskHangs { get; set; }

    public int Fetches { get; set; }

    public int FailFetches { get; set; }

    public ulong Durable { get; private set; }

    public Queue<Effect.Persist> Asked { get; } = new();

    public List<Effect.Send> Held { get; } = [];

    public List<Entry> Log { get; } = [];

    public LogBase Base { get; set; }

    public SnapshotMeta? Snapshot { get; set; }

    public int SnapshotsTaken { get; set; }

    public int SnapshotsInstalled { get; set; }

    public int FailSnapshots { get; set; }

    public void Store(Effect.Persist persist)
    {
        Durable = persist.Sequence.Value;
        _hardState = persist.HardState ?? _hardState;
        _identity = persist.Identity ?? _identity;
        if (persist.ResetTo is { } reset)
        {
            Log.Clear();
            Base = reset;
        }

        if (persist.Entries.Count > 0)
        {
            Log.RemoveAll(e => e.Index >= persist.Entries[0].Index);
            Log.AddRange(persist.Entries);
        }
    }

    public RaftRecovery Recovery()
    {
        Durable = 0;
        Asked.Clear();
        Held.Clear();
        var starts = new List<(LogIndex First, Term Term)>();
        foreach (var entry in Log)
        {
            if (starts.Count == 0 || starts[^1].Term != entry.Term)
            {
                starts.Add((entry.Index, entry.Term));
            }
        }

        return new RaftRecovery(_hardState, _identity, Log.Count == 0 ? Base.Index : Log[^1].Index, starts, Base, Snapshot: Snapshot,
            Configurations: [.. Log.Where(e => e.Kind == EntryKind.Configuration)]);
    }
}
