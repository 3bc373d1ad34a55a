using Flotilla.Contracts;
using Flotilla.Node.Backups;
using Flotilla.Node.Cluster;
using Flotilla.Node.Gateways;
using Flotilla.Node.Hosting;
using Flotilla.Node.Leading;
using Flotilla.Node.Loops;
using Flotilla.Node.Members;
using Flotilla.Node.Peers;
using Flotilla.Node.Snapshots;
using Flotilla.Node.Watching;
using Flotilla.Raft;
using Flotilla.Raft.Membership;
using Flotilla.Raft.Quiet;
using Flotilla.Shards;
using Flotilla.Storage;
using Flotilla.Storage.Identity;
using Flotilla.Storage.Snapshots;
using Flotilla.Topology.Gossip;
using Flotilla.Wire.Peers;
using Flotilla.Wire.Rpc;
using Microsoft.Extensions.Logging;
using Addresses = Flotilla.Topology.Descriptors.NodeAddresses;
using ShardKey = Flotilla.Topology.Descriptors.ShardKey;

namespace Flotilla.Node;

/// <summary>What a node's disk says of it.</summary>
/// <param name="Genesis">How the cluster began; its members with the addresses that they have now.</param>
/// <param name="Flags">The flags that it began with, as they were then.</param>
/// <param name="Known">Nodes that this one was told of when it joined.</param>
/// <param name="HasEntered">It joined: it begins no group by itself.</param>
/// <param name="Incarnation">This data directory.</param>
/// <param name="BootNumber">How often it was started.</param>
/// <param name="Wal">The open log; the shell's until it has stopped.</param>
/// <param name="Snapshots">The node's snapshots.</param>
/// <param name="FreeBytes">Bytes free on the log's disk, asked now and then.</param>
/// <param name="Topology">What gossip told it last.</param>
/// <param name="LateShards">The shards that genesis does not know and that it hosts.</param>
/// <param name="KeepShard">Makes durable that it hosts another one. Called by one thread at a time, also with the next; may throw, then the node can't go on.</param>
/// <param name="Retired">The retired shards that it hosted once.</param>
/// <param name="KeepRetired">Makes durable that it hosts one never again; likewise.</param>
public sealed record NodeState(Genesis Genesis, GenesisFlags Flags, IReadOnlyList<ClusterMember> Known, bool HasEntered, Incarnation Incarnation, ulong BootNumber, Wal Wal, SnapshotStore Snapshots, Func<long> FreeBytes, TopologyFile Topology, IReadOnlyList<LateShard> LateShards, Action<LateShard> KeepShard, IReadOnlyList<RetiredShard> Retired, Action<RetiredShard> KeepRetired);

/// <summary>
/// A node without its doors: its replicas on their loops, the log writer, the streams to its peers and the gateway. Make
/// it, let a listener pass peers' streams to <see cref="AcceptPeerAsync"/>, <see cref="Start"/> it, and
/// <see cref="StopAsync"/> or <see cref="AbortAsync"/> it once.
/// </summary>
public sealed class NodeShell : IPeerEvents, IAsyncDisposable
{
    private static readonly TimeSpan HandoverPatience = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan SettlePatience = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan ClosePatience = TimeSpan.FromMilliseconds(500);

    private readonly NodeOptions _options;
    private readonly NodeState _state;
    private readonly ILogger _log;
    private readonly ClusterState _cluster;
    private readonly WalWriter _wal;
    private readonly SnapshotWorker _snapshots;
    private readonly ReplicaHost _host;
    private readonly PeerTransport _transport;
    private readonly Gossip _gossip;
    private readonly TopologySaver _saver;
    private readonly Gateway _gateway;
    private readonly RequestServer _requests;
    private readonly HeardPulses _heard = new();
    private readonly DiskWatch _disk;
    private readonly Handover _handover;
    private readonly List<Looker> _lookers;
    private readonly HandoffCourier _courier;
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
        _transport = new PeerTransport(new TransportOptions { IsNode = node => _cluster!.Nodes.ContainsKey(node), Way = options.Way }, this, _log);
        _cluster = new ClusterState(options.NodeId, isRouter: false, _transport.IsAlive, AgeMs, Warnings);
        _saver = new TopologySaver(bytes => state.Topology.Write(bytes), _log);
        _gossip = new Gossip(
            _cluster, new GossipServices(() => _transport.Links, group => _host!.Of(group), IsReluctant, ConnectAll, _saver, _log),
            new GossipOptions(state.Genesis.ClusterId, options.NodeId.Value, state.Incarnation.Value, state.BootNumber), KeptTopology());
        _courier = new HandoffCourier(_cluster, _transport, group => _host!.Of(group));
        var changes = new ChangeServer(_cluster, _transport, new Adopter(options.NodeId, Introduction), shard => _host!.Bear(shard), options.Single?.Shard);
        Changes = new ClusterChanges(_cluster, _transport, changes);
        var watches = new WatchServer();
        _requests = new RequestServer(_cluster, _transport, changes, watches);
        Watches = new Watches(_cluster, new WatchSources(_cluster, _transport, watches), options.MaxWatches, options.RequestTimeout, _log);
        _wal = new WalWriter(state.Wal, Fail, () => _disk!.HasRoomFor(options.Wal.SegmentBytes));
        _snapshots = new SnapshotWorker(state.Snapshots, bytes => _disk!.HasRoomFor(bytes), Fail, _log);
        _disk = new DiskWatch(options.NodeId, state.FreeBytes, DiskWatch.ReserveFor(options.Wal), Fail, _log);
        _gateway = new Gateway(_cluster, new ClusterTargets(_cluster, _transport), options.RequestTimeout);
        Backups = new BackupServer(_cluster, options.RequestTimeout);
        var services = new LoopServices(_wal, _snapshots, _transport.Send, OnRoleChanged, OnConfigurationChanged, _gossip.Applied, _courier.Send, () => _disk.Objection, IsReluctant, () => _disk.IsFull, _heard, _transport.Beat, Fail);
        _host = new ReplicaHost(options, state, _cluster, services, _log);
        _handover = new Handover(_cluster, _transport, _gateway, _host.Loops);
        _lookers =
        [
            new LeaderSpreader(_cluster, _log, Fail),
            new ShardSteward(_cluster, new StewardView(() => _host.Replicas, () => _gossip.View, _gossip.RingToldBy, LivingNodes, state.Flags.Replicas, options.Single is not null), _log, Fail),
            new RetiredShards(_cluster, _host, options.RetiredPatience, Fail),
        ];
        if (options.Single is { } single)
        {
            _lookers.Add(new OwnShard(single, options.Rpc, options.Join is not null, _cluster, new OwnShardView(() => _host.Replicas.Any(r => r.Genesis.Shard == single.Shard), () => _gossip.IsCompared, changes.Bear, Changes), _log, Fail));
        }
        else
        {
            _lookers.Add(new Placer(_cluster, _transport, state.Flags.Replicas, _log, Fail));
        }

        if (options.ShardsPerNode is { } perNode)
        {
            _lookers.Add(new NodeShards(perNode, _cluster, new NodeShardsView(() => _host.BeganHere, () => _gossip.IsCompared, changes.Bear), _log, Fail));
        }

        foreach (var member in state.Genesis.Members.Concat(state.Known))
        {
            var told = options.PeerHttp.TryGetValue(member.Node, out var peer) ? peer.ToString() : null;
            _cluster.Learn(member.Node, new NodeAddresses(told, member.Rpc, null));
        }

        _gossip.Begin(_host.Recover());
        foreach (var member in _host.KnownMembers())
        {
            LearnOf(member);
        }
    }

    /// <summary>What the doors call.</summary>
    public IGateway Gateway => _gateway;

    /// <summary>What the doors call to back shards up.</summary>
    public IBackups Backups { get; }

    /// <summary>What the doors call to watch records.</summary>
    public IWatches Watches { get; }

    /// <summary>What the doors call for an operator.</summary>
    public IClusterChanges Changes { get; }

    /// <summary>Completes, with the reason, when the node can't go on: its host must end the process without any further answer.</summary>
    public Task<Exception> Failed => _failed.Task;

    /// <summary>Starts loops, log writer and streams. The listeners should stand already.</summary>
    /// <param name="http">Where clients reach this node: what others are told.</param>
    /// <param name="rpc">Where other nodes reach it.</param>
    public void Start(HostPort http, HostPort rpc)
    {
        _cluster.Learn(_options.NodeId, new NodeAddresses(http.ToString(), rpc.ToString(), null));
        _log.NodeStarts(_options.NodeId, _state.Genesis.ClusterId, _state.BootNumber, _host.Count, _host.Loops.Count);
        // The first look at the disk comes before the first election.
        _disk.Start(_handover.Begin);
        _wal.Start(_transport.Send, AskForSnapshot);
        foreach (var loop in _host.Loops)
        {
            loop.Start();
        }

        _transport.Start(new Hello(
            PeerFrame.ProtocolVersion, _options.NodeId, _state.Incarnation, _state.BootNumber, _state.Genesis.ClusterId, http.ToString(), rpc.ToString(), IsRouter: false) { OnlyShard = _options.Single?.Shard });
        ConnectAll();
        _saver.Start();
        _gossip.Start(new Addresses(http.ToString(), rpc.ToString(), null, null));
        foreach (var looker in _lookers)
        {
            looker.Start();
        }
    }

    /// <summary>Tells a node that has no cluster yet of this one, unless its name is another's.</summary>
    public RpcReply<Wire.Protos.JoinReply> Join(Wire.Protos.JoinRequest request)
    {
        try
        {
            var ask = JoinCodec.FromProto(request);
            return Objection(ask) is { } reason
                ? new RpcStatus(RpcCode.FailedPrecondition, reason)
                : JoinCodec.ToProto(Introduction());
        }
        catch (PeerFormatException e)
        {
            return new RpcStatus(RpcCode.InvalidArgument, e.Message);
        }
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
        _gossip.Announce();
        return _handover.FinishAsync(HandoverPatience);
    }

    /// <summary>
    /// The second step, when no new calls come from this node's own clients: waits, for a second at most, until every call
    /// that reached this node is answered and the answers are sent. Then it closes what the shards keep for its writes.
    /// </summary>
    public async Task SettleAsync()
    {
        await _handover.SettleAsync(SettlePatience);
        await _gateway.CloseSessionsAsync(ClosePatience);
    }

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

    void IPeerEvents.OnMessage(Hello from, in PeerEnvelope envelope) => _host.Receive(from, envelope);

    void IPeerEvents.OnRequest(PeerSession session, in CallRequest request) => _requests.Serve(session, request);

    void IPeerEvents.OnGossip(Hello from, ReadOnlyMemory<byte> message) => _gossip.Receive(from, message);

    void IPeerEvents.OnHeartbeat(Hello from, uint loop) => _heard.Hear(from.Node, new Pulse(from.Incarnation, from.BootNumber, loop), NodeClock.Now);

    void IPeerEvents.OnHandoff(in HandoffEnvelope envelope) => _courier.Receive(envelope);

    void IPeerEvents.OnUp(PeerSession session)
    {
        var remote = session.Remote;
        if (!remote.IsRouter)
        {
            _cluster.Learn(remote.Node, new NodeAddresses(remote.Http, remote.Rpc, null));
            _heard.ForgetOthers(remote.Node, remote.Incarnation, remote.BootNumber);
            foreach (var loop in _host.Loops)
            {
                loop.Inbox.Post(LoopInput.ForPeerProcess(remote));
            }
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
        foreach (var loop in _host.Loops)
        {
            loop.Inbox.Post(LoopInput.ForPeerGone(peer));
        }
    }

    /// <summary>All that a node needs to enter this cluster.</summary>
    private JoinAnswer Introduction() => new(
        _state.Genesis.ClusterId, _state.Flags.Members, _state.Flags.Shards, _state.Flags.Replicas, _state.Flags.Nonce,
        [.. _cluster.Nodes.Where(static n => n.Value.Rpc is not null).Select(static n => new ClusterMember(n.Key, n.Value.Rpc!))])
    {
        Mode = _state.Flags.Mode,
    };

    private string? Objection(JoinAsk ask) =>
        ask.Version != PeerFrame.ProtocolVersion ? $"it speaks protocol version {PeerFrame.ProtocolVersion}, and this node {ask.Version}: run the same release on both"
        : ask.Node == _options.NodeId ? $"it calls itself {ask.Node} too: give this node another --node-id"
        : _transport.LinkOf(ask.Node)?.Session is { } stands && stands.Remote.Incarnation != ask.Incarnation
            ? $"another process speaks as {ask.Node} already, from another data directory: stop it, or give this node another --node-id"
            : null;

    private void OnRoleChanged(HostedReplica hosted)
    {
        var view = hosted.View;
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

        _cluster.LearnLeader(new ShardKey(view.Shard, hosted.Genesis.Group.Value), view.Term, view.Leader, source: _options.NodeId);
    }

    private void OnConfigurationChanged(HostedReplica hosted)
    {
        // A configuration counts from the moment it is in the log, so its members must be found from then on; its leader tells
        // others of it once it is committed.
        var raft = hosted.Replica.Raft;
        foreach (var member in raft.Configuration.Members)
        {
            LearnOf(member);
        }

        ConnectAll();
        var (index, configuration) = raft.CommittedConfiguration;
        if (_cluster.Table.Of(hosted.Genesis.Shard) is { } route && route.Group == hosted.Genesis.Group && route.Merge(ShardMembers.Of(index, configuration)))
        {
            _log.MembersChanged(hosted.Genesis.Shard, configuration);
        }
    }

    /// <summary>A configuration says where a member was when it was added: better than nothing.</summary>
    private void LearnOf(Member member)
    {
        if (member.Address.Length > 0 && !_cluster.Nodes.ContainsKey(member.Id))
        {
            _cluster.Learn(member.Id, new NodeAddresses(null, member.Address, null));
        }
    }

    private void ConnectAll()
    {
        foreach (var (node, addresses) in _cluster.Nodes)
        {
            _transport.Connect(node, addresses.Rpc);
        }
    }

    private long AgeMs() => _cluster.Table.Shards.All(static route => route.Local is not null) ? 0 : _gossip.AgeMs;

    /// <summary>What gossip knew, and what this node may never forget though that file were lost.</summary>
    private GossipTable KeptTopology() => ReadTopology().Merge(
        [.. _state.Retired.Select(static shard => AppliedShard.RetiredItem(shard.Shard, shard.Group))], out _);

    private GossipTable ReadTopology()
    {
        try
        {
            var bytes = _state.Topology.Read();
            var problem = default(string);
            var table = bytes.Length == 0 ? GossipTable.Empty : TableCodec.Decode(bytes, _state.Genesis.ClusterId, out problem);
            if (problem is not null)
            {
                _log.TopologyPassedOver(problem);
            }

            return table;
        }
        catch (IOException e)
        {
            _log.TopologyPassedOver(e.Message);
            return GossipTable.Empty;
        }
    }

    private int LivingNodes() => _cluster.Nodes.Keys.Count(node => _cluster.IsAlive(node) && !_cluster.IsReluctant(node) && _transport.LinkOf(node)?.Session?.Remote.OnlyShard is null);

    private bool IsReluctant() => _leaving || _disk.IsLow;

    private IReadOnlyList<string> Warnings() => [.. _disk.Objection is { } objection ? [objection] : Array.Empty<string>(), .. DoubledShards.Warnings(_gossip.View)];

    private void AskForSnapshot(GroupId group)
    {
        if (_host.Of(group) is { } hosted)
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
        foreach (var loop in _host.Loops)
        {
            loop.Stop();
        }

        _gateway.Dispose();
        _snapshots.Dispose();
    }

    private async Task EndStreamsAsync()
    {
        await _disk.DisposeAsync();
        foreach (var looker in _lookers)
        {
            await looker.DisposeAsync();
        }

        await _gossip.DisposeAsync();
        await _saver.DisposeAsync();
        await _transport.DisposeAsync();
    }
}
