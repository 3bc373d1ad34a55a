using Flotilla.Node.Loops;
using Flotilla.Node.Snapshots;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Storage;
using Flotilla.Storage.Disk;
using Flotilla.Storage.Snapshots;
using Flotilla.Topology;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flotilla.Node.Tests.Clusters;

/// <summary>A shard loop with a log of its own and no node around it: what is posted before <see cref="Start"/> makes one batch.</summary>
internal sealed class LoneLoop : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("flotilla-loop-").FullName;
    private readonly Wal _wal;
    private readonly WalWriter _writer;
    private readonly SnapshotWorker _snapshots;

    /// <param name="voters">The replica is the first of them.</param>
    public LoneLoop(params NodeId[] voters)
    {
        _wal = Wal.Open(new FileDisk(_root), new WalOptions { SegmentBytes = 1 << 20 });
        _writer = new WalWriter(_wal, e => Failed.TrySetResult(e), static () => true);
        _snapshots = new SnapshotWorker(SnapshotStore.Open(new FileDisk(Path.Combine(_root, "snapshots"))), static _ => true, e => Failed.TrySetResult(e), NullLogger.Instance);
        Loop = new ShardLoop(0, LoopLimits.Default, new LoopServices(_writer, _snapshots, static _ => { }, static _ => { }, static _ => { }, static _ => { }, static _ => { }, () => IsDiskLow ? "the disk is low" : null, () => IsDiskLow, static () => false, new HeardPulses(), static (_, _) => { }, e => Failed.TrySetResult(e)),
            new QuietShards(voters[0], new RaftOptions(), 0, new HeardPulses(), static (_, _) => { }));
        var shard = new ShardGenesis(new ShardId(1), new GroupId(1), voters, [.. Enumerable.Range(0, Slot.Count).Select(s => new Slot((ushort)s))]);
        Hosted = new HostedReplica(shard, voters[0], new Replica(shard, voters[0], new Incarnation(1), new ReplicaOptions(), RaftRecovery.Empty, 1, NodeClock.Read()));
        Loop.Add(Hosted);
    }

    public ShardLoop Loop { get; }

    public HostedReplica Hosted { get; }

    public bool IsDiskLow { get; set; }

    /// <summary>What stopped the loop.</summary>
    public TaskCompletionSource<Exception> Failed { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public void Start()
    {
        _writer.Start(static _ => { }, static _ => { });
        Loop.Start();
    }

    public async Task<CommandResult> Put(string key)
    {
        var call = LocalCall.RentExecute(Command.Put(GatewayText.Bytes(key), GatewayText.Bytes("v")), NodeClock.Now.PlusMs(10_000));
        Assert.Equal(Posted.Taken, Loop.TrySubmit(Hosted, call));
        return (await call.AsValueTask()).Result;
    }

    public async Task<CommandResult> Get(string key)
    {
        var call = LocalCall.RentGet(GatewayText.Bytes(key), stale: false, NodeClock.Now.PlusMs(10_000));
        Assert.Equal(Posted.Taken, Loop.TrySubmit(Hosted, call));
        return (await call.AsValueTask()).Result;
    }

    public Task<ScanPage> Scan()
    {
        var call = new LocalScan(new ScanRequest(default, default, 10, 1000), stale: false, NodeClock.Now.PlusMs(10_000));
        Assert.Equal(Posted.Taken, Loop.TrySubmit(Hosted, call));
        return call.Task;
    }

    public void Dispose()
    {
        Loop.Stop();
        _snapshots.Dispose();
        _writer.Stop();
        _wal.Dispose();
        Directory.Delete(_root, recursive: true);
    }
}
