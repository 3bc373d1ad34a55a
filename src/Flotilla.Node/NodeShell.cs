using Flotilla.Contracts;
using Flotilla.Node.Cluster;
using Flotilla.Node.Gateways;
using Flotilla.Node.Leading;
using Flotilla.Node.Loops;
using Flotilla.Node.Peers;
using Flotilla.Node.Snapshots;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Storage;
using Flotilla.Storage.Snapshots;
using Flotilla.Wire.Peers;
using Flotilla.Wire.Rpc;
using Microsoft.Extensions.Logging;

namespace Flotilla.Node;

/// <summary>What a node's disk says of it.</summary>
/// <param name="Genesis">How the cluster began.</param>
/// <param name="Incarnation">This data directory.</param>
/// <param name="BootNumber">How often it was started.</param>
/// <param name="Wal">The open log; the shell's until it has stopped.</param>
/// <param name="Snapshots">The node's snapshots.</param>
/// <param name="FreeBytes">Bytes free on the log's disk, asked now and then.</param>
public sealed record NodeState(Genesis Genesis, Incarnation Incarnation, ulong BootNumber, Wal Wal, SnapshotStore Snapshots, Func<long> FreeBytes);

/// <summary>
/// A node without its doors: its replicas on their loops, the log writer, the streams to its peers and the gateway. Make
/// it, let a listener pass peers' streams to <see cref="AcceptPeerAsync"/>, <see cref="Start"/> it, and
/// <see cref="StopAsync"/> or <see cref="AbortAsync"/> it once.
/// </summary>
public sealed class NodeShell : IPeerEvents, IAsyncDisposable
{
    private static readonly TimeSpan HandoverPatience = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan SettlePatience = TimeSpan.FromSeconds(1);

    private readonly NodeOptions _options;
    private readonly NodeState _state;
    private readonly ILogger _log;
    private readonly ClusterState _cluster;
    private readonly WalWriter _wal;
    private readonly SnapshotWorker _snapshots;
    private readonly List<ShardLoop> _loops = [];
    private readonly Dictionary<GroupId, HostedReplica> _replicas = [];
    private readonly PeerTransport _transport;
    private readonly Gossip _gossip;
    private readonly RequestServer _requests;
    private readonly DiskWatch _disk;
    private readonly Handover _handover;
    private readonly LeaderSpreader _spreader;
    private readonly TaskCompletionSource<Exception> _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool _leaving;
    private int _ended;

    /// <summary>Builds a node; nothing runs before <see cref="Start"/>.</summary>
    public NodeShell(NodeOptions options, NodeState state, ILoggerFactory loggers)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(state);
        ArgumentNullException.ThrowIfNull(loggers);
        _options = options;
        _state = state;
        _log = loggers.CreateLogger("Flotilla.Node");
        var members = state.Genesis.Members.Select(m => m.Node).ToHashSet();
        _transport = new PeerTransport(new TransportOptions { Members = members }, this, _log);
        _cluster = new ClusterState(options.NodeId, isRouter: false, _transport.IsAlive, AgeMs, Warnings);
        _gossip = new Gossip(_cluster, () => _transport.Links, IsReluctant);
        _requests = new RequestServer(_cluster, _transport);
        _wal = new WalWriter(state.Wal, Fail);
        _snapshots = new SnapshotWorker(state.Snapshots, Fail, _log);
        _disk = new DiskWatch(options.NodeId, state.FreeBytes, DiskWatch.ReserveFor(options.Wal), Fail, _log);
        var gateway = new Gateway(_cluster, _transport, options.RequestTimeout);
        Gateway = gateway;
        _handover = new Handover(_cluster, _transport, gateway, _loops);
        _spreader = new LeaderSpreader(_cluster, _log, Fail);
        HostReplicas();
    }

    /// <summary>What the doors call.</summary>
    public IGateway Gateway { get; }

    /// <summary>Completes, with the reason, when the node can't go on: its host must end the process without any further answer.</summary>
    public Task<Exception> Failed => _failed.Task;

    /// <summary>Starts loops, log writer and streams. The listeners should stand already.</summary>
    /// <param name="http">Where clients reach this node: what others are told.</param>
    /// <param name="rpc">Where other nodes reach it.</param>
    public void Start(HostPort http, HostPort rpc)
    {
        _cluster.Learn(_options.NodeId, new NodeAddresses(http.ToString(), rpc.ToString(), null));
        _log.NodeStarts(_options.NodeId, _state.Genesis.ClusterId, _state.BootNumber, _replicas.Count, _loops.Count);
        // The first look at the disk comes before the first election.
        _disk.Start(_handover.Begin);
        _wal.Start(_transport.Send, AskForSnapshot);
        foreach (var loop in _loops)
        {
            loop.Start();
        }

        _transport.Start(new Hello(
            PeerFrame.ProtocolVersion, _options.NodeId, _state.Incarnation, _state.BootNumber, _state.Genesis.ClusterId, http.ToString(), rpc.ToString(), IsRouter: false));
        foreach (var member in _state.Genesis.Members)
        {
            if (member.Node != _options.NodeId)
            {
                _transport.Connect(member.Node, member.Rpc);
            }
        }

        _gossip.Start();
        _spreader.Start();
    }

    /// <summary>Serves a stream that a peer or a router has opened, until it ends.</summary>
    public Task<RpcStatus> AcceptPeerAsync(RpcDuplex stream, RpcCall call) => _transport.AcceptAsync(stream, call);

    /// <summary>
    /// The first step of a stop in good order: other voters lead what this node leads, and are known to, when this returns;
    /// at the latest after two seconds. The node goes on serving by asking them, and does not lead again if it can be helped.
    /// </summary>
    public Task HandOverAsync()
    {
        _leaving = true;
        return _handover.FinishAsync(HandoverPatience);
    }

    /// <summary>
    /// The second step, when no new calls come from this node's own clients: waits, for a second at most, until every call
    /// that reached this node is answered and the answers are sent.
    /// </summary>
    public Task SettleAsync() => _handover.SettleAsync(SettlePatience);

    /// <summary>
    /// Stops in good order, best after <see cref="HandOverAsync"/> and <see cref="SettleAsync"/>: ends the loops, makes durable what waits, closes the streams. What is still unanswered is answered as indeterminate or not led. The log may be closed afterwards.
    /// </summary>
    public async Task StopAsync()
    {
        if (Interlocked.Exchange(ref _ended, 1) == 0)
        {
            EndLoops();
            _wal.Stop();
            await EndStreamsAsync();
            _log.NodeStopped(_options.NodeId);
        }
    }

    /// <summary>Stops as a crash would, for tests and after a failure: no handover, nothing more is written.</summary>
    public async Task AbortAsync()
    {
        if (Interlocked.Exchange(ref _ended, 1) == 0)
        {
            _wal.Abort();
            EndLoops();
            await EndStreamsAsync();
        }
    }

    /// <summary><see cref="AbortAsync"/>, unless it has stopped already.</summary>
    public async ValueTask DisposeAsync() => await AbortAsync();

    void IPeerEvents.OnMessage(Hello from, in PeerEnvelope envelope)
    {
        if (_replicas.TryGetValue(envelope.Group, out var hosted))
        {
            var input = LoopInput.ForMessage(hosted, from.Node, from.Incarnation, envelope.Message);
            if (hosted.Loop.Inbox.TryPostMessage(input, PeerFrame.ApproximateBytes(envelope.Message)) != Posted.Taken)
            {
                NodeMetrics.MessagesDropped.Add(1);
            }
        }
    }

    void IPeerEvents.OnRequest(PeerSession session, in CallRequest request) => _requests.Serve(session, request);

    void IPeerEvents.OnStatus(Hello from, ClusterStatus status) => _gossip.Learn(from, status);

    void IPeerEvents.OnUp(PeerSession session)
    {
        var remote = session.Remote;
        if (!remote.IsRouter)
        {
            _cluster.Learn(remote.Node, new NodeAddresses(remote.Http, remote.Rpc, null));
        }

        _gossip.Greet(session);
        foreach (var route in _cluster.Table.Shards)
        {
            if (route.Leader.Leader == remote.Node)
            {
                route.WakeWaiters();
            }
        }
    }

    void IPeerEvents.OnDown(PeerSession session)
    {
    }

    void IPeerEvents.OnGone(NodeId peer)
    {
        foreach (var loop in _loops)
        {
            loop.Inbox.Post(LoopInput.ForPeerGone(peer));
        }
    }

    private void HostReplicas()
    {
        var genesis = _state.Genesis;
        var self = _options.NodeId;
        var services = new LoopServices(_wal, _snapshots, _transport.Send, OnRoleChanged, () => _disk.Objection, IsReluctant, Fail);
        var count = Environment.ProcessorCount <= 4 ? 1 : Environment.ProcessorCount / 4;
        for (var i = 0; i < count; i++)
        {
            _loops.Add(new ShardLoop(i, LoopLimits.Default, services));
        }

        // The longest part of a start: snapshots are loaded side by side.
        var loaded = genesis.Shards.AsParallel()
            .Where(shard => shard.Voters.Contains(self))
            .Select(shard => _state.Snapshots.Latest(shard.Group))
            .OfType<SnapshotInfo>()
            .Select(info => LoadedSnapshot.Read(_state.Snapshots, info))
            .ToDictionary(snapshot => snapshot.Info.Group);
        var clock = NodeClock.Read();
        var routes = new List<ShardRoute>();
        foreach (var shard in genesis.Shards)
        {
            HostedReplica? hosted = null;
            if (shard.Voters.Contains(self))
            {
                hosted = new HostedReplica(shard, Recover(shard, loaded, clock));
                _replicas.Add(shard.Group, hosted);
                _loops[shard.Shard.Value % _loops.Count].Add(hosted);
            }

            routes.Add(new ShardRoute(shard.Shard, shard.Group, shard.Voters, RoutingTable.RangesOf(shard.Slots), hosted));
        }

        foreach (var member in genesis.Members)
        {
            var http = _options.PeerHttp.TryGetValue(member.Node, out var told) ? told.ToString() : null;
            _cluster.Learn(member.Node, new NodeAddresses(http, member.Rpc, null));
        }

        _cluster.Publish(new RoutingTable(genesis.ClusterId, routes));
    }

    private Replica Recover(ShardGenesis shard, Dictionary<GroupId, LoadedSnapshot> loaded, ClockReading clock)
    {
        var snapshot = loaded.GetValueOrDefault(shard.Group);
        var recovered = _state.Snapshots.Recover(shard.Group, _state.Wal.Recovered(shard.Group)) with { SnapshotConfiguration = snapshot?.Configuration };
        var seed = (ulong)Random.Shared.NextInt64();
        return new Replica(shard, _options.NodeId, _state.Incarnation, _options.Replica, recovered, seed, clock, restored: snapshot?.State);
    }

    private void OnRoleChanged(ReplicaView view)
    {
        if (view.SeatIsTaken)
        {
            _log.SeatIsTaken(view.Shard);
            return;
        }

        _log.RoleChanged(view.Shard, view.Role, view.Term.Value, view.Leader);
        if (view.Role == Role.Leader)
        {
            NodeMetrics.LeaderElections.Add(1);
        }

        if (_cluster.Table.Of(view.Shard) is { } route && route.Merge(view.Term, view.Leader, _options.NodeId, _options.NodeId))
        {
            _gossip.Changed(route);
        }
    }

    private long AgeMs() => _replicas.Count == _state.Genesis.Shards.Count ? 0 : _gossip.AgeMs;

    private bool IsReluctant() => _leaving || _disk.IsLow;

    private IReadOnlyList<string> Warnings() => _disk.Objection is { } objection ? [objection] : [];

    private void AskForSnapshot(GroupId group)
    {
        if (_replicas.TryGetValue(group, out var hosted))
        {
            hosted.Loop.Inbox.Post(LoopInput.ForAct(hosted, static (replica, _) => replica.AskForSnapshot()));
        }
    }

    private void Fail(Exception reason)
    {
        if (_failed.TrySetResult(reason))
        {
            _log.NodeFailed(_options.NodeId, reason.Message);
        }
    }

    private void EndLoops()
    {
        foreach (var loop in _loops)
        {
            loop.Stop();
        }

        _snapshots.Dispose();
    }

    private async Task EndStreamsAsync()
    {
        await _disk.DisposeAsync();
        await _spreader.DisposeAsync();
        await _gossip.DisposeAsync();
        await _transport.DisposeAsync();
    }
}
