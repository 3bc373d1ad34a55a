using System.Globalization;
using System.Net.Http.Json;
using Flotilla.Contracts.Http;
using Flotilla.Node.Cluster;
using Flotilla.Node.Gateways;
using Flotilla.Node.Members;
using Flotilla.Node.Peers;
using Flotilla.Node.Watching;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology.Gossip;
using Flotilla.Wire.Peers;
using Microsoft.Extensions.Logging;

namespace Flotilla.Node;

/// <summary>
/// A router without its door: the gateway without replicas. Learns the cluster id and the nodes' RPC addresses from the
/// <c>/status</c> of any node, then dials them all; shards and leaders come on the streams.
/// </summary>
public sealed class RouterShell : IPeerEvents, IAsyncDisposable
{
    private const int AskAgainMs = 250;
    private static readonly TimeSpan ClosePatience = TimeSpan.FromMilliseconds(500);

    private readonly RouterOptions _options;
    private readonly ILogger _log;
    private readonly NodeId _self;
    private readonly ClusterState _cluster;
    private readonly PeerTransport _transport;
    private readonly Gossip _gossip;
    private readonly Gateway _gateway;
    private readonly CancellationTokenSource _stop = new();
    private Task _discovery = Task.CompletedTask;
    private int _ended;
    private int _knows;

    /// <summary>Builds a router; nothing runs before <see cref="Start"/>.</summary>
    public RouterShell(RouterOptions options, ILoggerFactory loggers)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(loggers);
        _options = options;
        _log = loggers.CreateLogger("Flotilla.Router");

        // Several routers may run beside one another: each process needs a name of its own.
        _self = new NodeId($"router-{options.Listen.Port}-{Random.Shared.Next(0x10000):x4}");
        _transport = new PeerTransport(new TransportOptions(), this, _log);
        _cluster = new ClusterState(_self, isRouter: true, _transport.IsAlive, () => _gossip!.AgeMs);
        _gossip = new Gossip(
            _cluster, new GossipServices(() => _transport.Links, static _ => null, static () => false, ConnectAll, Save: null, _log), new GossipOptions(0, null, 0, 0), GossipTable.Empty);
        _gateway = new Gateway(_cluster, new ClusterTargets(_cluster, _transport), options.RequestTimeout);
        Watches = new Watches(_cluster, new WatchSources(_cluster, _transport, here: null), options.MaxWatches, options.RequestTimeout, _log);
        Changes = new ClusterChanges(_cluster, _transport, here: null);
    }

    /// <summary>What the door calls. It answers <c>no_quorum</c> until the cluster is known.</summary>
    public IGateway Gateway => _gateway;

    /// <summary>What the door calls to watch records.</summary>
    public IWatches Watches { get; }

    /// <summary>What the door calls for an operator.</summary>
    public IClusterChanges Changes { get; }

    /// <summary>Starts to look for the cluster.</summary>
    public void Start()
    {
        _gossip.Start(self: null);
        _discovery = Task.Run(DiscoverAsync);
    }

    /// <summary>Stops: closes what the shards keep for its writes; calls under way are answered as their streams end.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _ended, 1) == 0)
        {
            await _stop.CancelAsync();
            await _discovery;
            await _gateway.CloseSessionsAsync(ClosePatience);
            await _gossip.DisposeAsync();
            await _transport.DisposeAsync();
            _gateway.Dispose();
            _stop.Dispose();
        }
    }

    void IPeerEvents.OnMessage(Hello from, in PeerEnvelope envelope)
    {
        // A router has no replicas: a correct node sends it none.
    }

    void IPeerEvents.OnRequest(PeerSession session, in CallRequest request)
    {
        var page = request.Kind == CallKind.Scan ? new ScanPage(ResultCode.NotLeader, [], More: false) : null;
        session.Reply(new CallReply(request.Id, CommandResult.Of(ResultCode.NotLeader), page, default, null, "a router has no replicas"));
    }

    void IPeerEvents.OnGossip(Hello from, ReadOnlyMemory<byte> message)
    {
        _gossip.Receive(from, message);
        var table = _cluster.Table;
        if (table.IsComplete && Interlocked.Exchange(ref _knows, 1) == 0)
        {
            _log.RouterLearned(_self, from.ClusterId, table.Shards.Count, _cluster.Nodes.Count);
        }
    }

    void IPeerEvents.OnHeartbeat(Hello from, uint loop)
    {
        // Nobody sends a router any: it is a member of no group.
    }

    void IPeerEvents.OnHandoff(in HandoffEnvelope envelope)
    {
        // A router has no replicas.
    }

    void IPeerEvents.OnUp(PeerSession session)
    {
        _cluster.Learn(session.Remote.Node, new NodeAddresses(session.Remote.Http, session.Remote.Rpc, null));
        _gossip.Greet(session);
        foreach (var route in _cluster.Table.Shards)
        {
            if (route.Leader.Leader == session.Remote.Node)
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
    }

    private void ConnectAll()
    {
        foreach (var (node, addresses) in _cluster.Nodes)
        {
            _transport.Connect(node, addresses.Rpc);
        }
    }

    private async Task DiscoverAsync()
    {
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(2) };
        string? said = null;
        while (!_stop.IsCancellationRequested)
        {
            var reason = "";
            foreach (var node in _options.Nodes)
            {
                try
                {
                    var status = await http.GetFromJsonAsync($"http://{node}/status", DocumentsJson.Default.StatusDocument, _stop.Token);
                    if (status is not null && Connect(status))
                    {
                        return;
                    }

                    reason = $"{node} does not know its cluster";
                }
                catch (Exception e) when (e is HttpRequestException or OperationCanceledException or System.Text.Json.JsonException or NotSupportedException)
                {
                    reason = $"{node}: {e.Message}";
                }
            }

            if (said != reason && !_stop.IsCancellationRequested)
            {
                said = reason;
                _log.RouterKnowsNothing(reason, string.Join(", ", _options.Nodes));
            }

            await Task.Delay(AskAgainMs, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private bool Connect(StatusDocument status)
    {
        if (!ulong.TryParse(status.ClusterId, NumberStyles.HexNumber, CultureInfo.InvariantCulture, out var clusterId) || clusterId == 0)
        {
            return false;
        }

        _transport.Start(new Hello(PeerFrame.ProtocolVersion, _self, default, 1, clusterId, _options.Listen.ToString(), null, IsRouter: true));
        foreach (var node in status.Nodes)
        {
            _transport.Connect(new NodeId(node.Id), node.Rpc);
        }

        return true;
    }
}
