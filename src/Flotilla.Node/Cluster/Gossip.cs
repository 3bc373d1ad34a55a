using System.Collections.Concurrent;
using Flotilla.Node.Loops;
using Flotilla.Node.Peers;
using Flotilla.Raft;
using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Gossip;
using Flotilla.Wire.Peers;
using Microsoft.Extensions.Logging;
using Addresses = Flotilla.Topology.Descriptors.NodeAddresses;

namespace Flotilla.Node.Cluster;

/// <summary>What gossip needs of its process. The delegates are called with gossip's lock held, and must not block.</summary>
/// <param name="Links">The streams.</param>
/// <param name="ReplicaOf">The replica on this node of a group, or null.</param>
/// <param name="IsReluctant">This node should rather not lead.</param>
/// <param name="NodesChanged">A node, or the address of one, is new.</param>
/// <param name="Save">Keeps the table for the next start; null for a router.</param>
/// <param name="Log">Where findings go.</param>
internal sealed record GossipServices(Func<IEnumerable<PeerLink>> Links, Func<GroupId, HostedReplica?> ReplicaOf, Func<bool> IsReluctant, Action NodesChanged, TopologySaver? Save, ILogger Log);

/// <summary>
/// Drives the <see cref="Gossiper"/>: publishes what the shards led here say of themselves as it changes, carries messages, begins
/// an exchange each second and with each stream that begins, and has the routing table follow. Each second every stream also
/// carries a sign of life. Thread-safe.
/// </summary>
internal sealed class Gossip : IAsyncDisposable
{
    private const int PeriodMs = 1000;

    /// <summary>What changes nothing but how far moves have come is taken over so often: a routing table is no small thing to make.</summary>
    private const int CatchUpMs = 100;

    private readonly Lock _gate = new();
    private readonly ClusterState _cluster;
    private readonly GossipServices _services;
    private readonly Topology _topology;
    private readonly Gossiper _gossiper;
    private readonly ConcurrentQueue<AppliedShard> _news = new();
    private readonly Dictionary<ShardKey, ShardDescriptor> _published = [];
    private readonly AsyncSignal _signal = new();
    private readonly CancellationTokenSource _stop = new();
    private Addresses? _addresses;
    private Timer? _timer;
    private Task _working = Task.CompletedTask;
    private long _currentAtUs = NodeClock.Now.Microseconds;
    private volatile bool _tick;
    private Timer? _catchUp;
    private bool _isStale;
    private bool _isBehind;
    private Instant _followed;
    private bool _isCompared;
    private string? _lastRefusal;

    /// <summary>Begins with what is known already.</summary>
    public Gossip(ClusterState cluster, GossipServices services, GossipOptions options, GossipTable table)
    {
        _cluster = cluster;
        _services = services;
        _topology = new Topology(cluster, services.ReplicaOf);
        _gossiper = new Gossiper(options, table);
    }

    /// <summary>Milliseconds since an exchange last showed that this process knows what another one knows.</summary>
    public long AgeMs => (long)NodeClock.Now.MsSince(new Instant(Volatile.Read(ref _currentAtUs)));

    /// <summary>Another process has said since the start that it knows nothing of which this one had not heard; what it had told is in the routing table.</summary>
    public bool IsCompared => Volatile.Read(ref _isCompared);

    /// <summary>Who owns and who should own each slot, by all that is known here.</summary>
    public Flotilla.Topology.Ownership.OwnershipView View
    {
        get
        {
            lock (_gate)
            {
                return _topology.View;
            }
        }
    }

    /// <summary>The ring that a shard's leader said it sees; 0 if none has spoken. What is applied here may be newer than that word, but does not say it.</summary>
    public ulong RingToldBy(ShardKey key)
    {
        lock (_gate)
        {
            return _gossiper.Table.Find(key)?.Descriptor.RingDigest ?? 0;
        }
    }

    /// <summary>Before the start: what this node knows of shards by itself, and where they began. Publishes the first routing table.</summary>
    public void Begin(IEnumerable<(ShardDescriptor Shard, IReadOnlyList<NodeId> First)> shards)
    {
        lock (_gate)
        {
            foreach (var (shard, first) in shards)
            {
                _topology.Know(shard);
                _topology.KnowFirst(shard.Key, first);
            }

            Learn(_gossiper.Table.Nodes);
            _topology.Rebuild(_gossiper.Table, _gossiper.ClusterId);
        }
    }

    /// <summary>Starts to tell and to ask.</summary>
    /// <param name="self">Where this node is; null for a router.</param>
    public void Start(Addresses? self)
    {
        _addresses = self;
        _tick = true;
        _signal.Set();
        _working = Task.Run(WorkAsync);
        _timer = new Timer(
            static state =>
            {
                var gossip = (Gossip)state!;
                gossip._tick = true;
                gossip._signal.Set();
            },
            this, PeriodMs, PeriodMs);
        _catchUp = new Timer(static state => ((Gossip)state!)._signal.Set(), this, Timeout.Infinite, Timeout.Infinite);
    }

    /// <summary>What a replica here has applied says something new of its shard. From the loops; never waits.</summary>
    public void Applied(AppliedShard shard)
    {
        _news.Enqueue(shard);
        _signal.Set();
    }

    /// <summary>Whether this node should rather not lead has changed: the others are told now.</summary>
    public void Announce()
    {
        lock (_gate)
        {
            SayWhereThisNodeIs();
        }
    }

    /// <summary>A stream begins: both ends compare what they know at once.</summary>
    public void Greet(PeerSession session)
    {
        lock (_gate)
        {
            SendTo(session, _gossiper.Exchange(Draw(), [session.Remote.Node.Value]));
        }
    }

    /// <summary>A message came.</summary>
    public void Receive(Hello from, ReadOnlyMemory<byte> bytes)
    {
        if (!GossipCodec.TryDecode(bytes.Span, out var message, out var problem))
        {
            NodeMetrics.GossipRefused.Add(1);
            Complain(from.Node, problem);
            return;
        }

        if (problem is not null)
        {
            Complain(from.Node, problem);
        }

        lock (_gate)
        {
            var output = _gossiper.Receive(from.Node.Value, message!);
            Carry(output);
            if (message is GossipMessage.Difference)
            {
                Volatile.Write(ref _currentAtUs, NodeClock.Now.Microseconds);
                if (output.Changed.Count == 0 && !_isStale)
                {
                    Volatile.Write(ref _isCompared, true);
                }
            }
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        if (_timer is not null)
        {
            await _timer.DisposeAsync();
        }

        if (_catchUp is not null)
        {
            await _catchUp.DisposeAsync();
        }

        _signal.Set();
        await _working;
        _stop.Dispose();
    }

    private static ulong Draw() => (ulong)Random.Shared.NextInt64(long.MinValue, long.MaxValue);

    private async Task WorkAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            await _signal.WaitAsync();
            lock (_gate)
            {
                Publish();
                if (_tick)
                {
                    _tick = false;
                    Tick();
                }

                Follow();
            }
        }
    }

    /// <summary>What the replicas here have said since: the newest word of each shard counts, and the ring is made of all of them before any is published.</summary>
    private void Publish()
    {
        var led = new SortedDictionary<ShardKey, AppliedShard>();
        while (_news.TryDequeue(out var shard))
        {
            var descriptor = shard.Describe(_cluster.Self, _cluster.Nodes, _topology.RingDigest);
            _topology.Know(descriptor);
            NoteChange(descriptor);
            if (shard.Leads)
            {
                led[shard.Key] = led.TryGetValue(shard.Key, out var before) && before.IsUrgent ? shard with { IsUrgent = true } : shard;
            }
            else
            {
                led.Remove(shard.Key);
                _published.Remove(shard.Key);
            }
        }

        Follow();
        foreach (var (key, shard) in led)
        {
            var descriptor = shard.Describe(_cluster.Self, _cluster.Nodes, _topology.RingDigest);
            _published[key] = descriptor;
            Carry(_gossiper.Publish(descriptor, shard.IsUrgent), toAll: true);
        }
    }

    private void Tick()
    {
        SayWhereThisNodeIs();
        var reachable = new List<string>();
        foreach (var link in _services.Links())
        {
            if (link.Session is { } session)
            {
                session.Pulse();
                if (!link.IsRouter)
                {
                    reachable.Add(link.Peer.Value);
                }
            }
        }

        Carry(_gossiper.Exchange(Draw(), reachable));
        TellRingsThatChanged();
        TellMoves();
    }

    private void SayWhereThisNodeIs()
    {
        if (_addresses is { } addresses)
        {
            Carry(_gossiper.Announce(addresses, _services.IsReluctant()), toAll: true);
        }
    }

    /// <summary>Slots move only to a shard whose descriptor names the source's ring, so one that expects slots and names an old ring is told anew.</summary>
    private void TellRingsThatChanged()
    {
        foreach (var (key, descriptor) in _published)
        {
            if (descriptor.RingDigest != _topology.RingDigest && !_topology.View.ExpectedBy(key, descriptor.Slots.Slots).IsEmpty)
            {
                TellBeyond(key, descriptor.Version);
            }
        }
    }

    /// <summary>How far moves have come, once a second: no step of theirs may be due for a while.</summary>
    private void TellMoves()
    {
        foreach (var (key, descriptor) in _published)
        {
            if (descriptor.Outgoing.Length + descriptor.Incoming.Length > 0)
            {
                TellBeyond(key, descriptor.Version, isUrgent: false);
            }
        }
    }

    private void TellBeyond(ShardKey key, DescriptorVersion version, bool isUrgent = true)
    {
        if (_services.ReplicaOf(new GroupId(key.Group)) is { } hosted)
        {
            hosted.Loop.Inbox.Post(LoopInput.ForAct(hosted, (replica, clock) =>
            {
                if (replica.Raft.Role == Role.Leader && replica.Raft.Term.Value == version.Term)
                {
                    hosted.TellBeyond(new LogIndex(version.Index), isUrgent, clock);
                }
            }));
        }
    }

    /// <summary>Sends what is to be sent and takes over what changed; the routing table follows when the caller has gone.</summary>
    private void Carry(GossipOutput output, bool toAll = false)
    {
        foreach (var send in output.Sends)
        {
            Send(send, toAll);
        }

        foreach (var finding in output.Findings)
        {
            Report(finding);
        }

        if (output.Changed.Count > 0)
        {
            _isBehind = true;
            if (Learn(output.Changed.OfType<NodeItem>()))
            {
                _services.NodesChanged();
            }

            // Who leads is merged at once, whichever thread this is: calls wait for it.
            foreach (var shard in output.Changed.OfType<ShardItem>())
            {
                NoteChange(shard.Descriptor);
                if (shard.Descriptor.Leader is { } leader)
                {
                    _cluster.LearnLeader(shard.Key, new Term(shard.Descriptor.Version.Term), new NodeId(leader), source: default);
                }
            }

            _signal.Set();
        }
    }

    private void NoteChange(ShardDescriptor shard)
    {
        _isBehind = true;
        _isStale |= _topology.IsNews(shard);
    }

    private void Follow()
    {
        var waitMs = CatchUpMs - NodeClock.Now.MsSince(_followed);
        if (_isBehind && !_isStale && waitMs > 0)
        {
            _catchUp?.Change((int)waitMs + 1, Timeout.Infinite);
        }
        else if (_isStale || _isBehind)
        {
            (_isStale, _isBehind, _followed) = (false, false, NodeClock.Now);
            _topology.Rebuild(_gossiper.Table, _gossiper.ClusterId);
            _services.Save?.Offer(_gossiper.Table, _gossiper.ClusterId);
            TellRingsThatChanged();
        }
    }

    private bool Learn(IEnumerable<NodeItem> nodes)
    {
        var news = false;
        foreach (var record in nodes.Select(static item => item.Record))
        {
            var node = new NodeId(record.Node);
            if (node != _cluster.Self)
            {
                news |= _cluster.Learn(node, new NodeAddresses(record.Addresses.Http, record.Addresses.Rpc, record.Addresses.Resp));
                _cluster.LearnReluctance(node, record.IsReluctant);
            }
        }

        return news;
    }

    /// <summary>A broadcast goes to all streams that stand, routers' too: whom this node has no record of yet hears of it all the same.</summary>
    private void Send(GossipSend send, bool toAll)
    {
        var bytes = GossipCodec.Encode(send.Message);
        foreach (var link in _services.Links())
        {
            if (link.Session is { } session && (toAll || send.To.Contains(link.Peer.Value, StringComparer.Ordinal)))
            {
                NodeMetrics.GossipBytes.Add(bytes.Length);
                session.SendGossip(bytes);
            }
        }
    }

    private static void SendTo(PeerSession session, GossipOutput output)
    {
        foreach (var send in output.Sends)
        {
            session.SendGossip(GossipCodec.Encode(send.Message));
        }
    }

    private void Report(GossipFinding finding)
    {
        switch (finding)
        {
            case GossipFinding.Superseded(var standing):
                // Told under an older entry than what stands. If that is this leader's own word, it is told again beyond it.
                if (standing.State != ShardState.Retired && standing.Leader == _cluster.Self.Value)
                {
                    TellBeyond(standing.Key, standing.Version);
                }

                break;
            case GossipFinding.DoubledShard(var shard):
                _services.Log.ShardIsDoubled(shard);
                break;
            case GossipFinding.Impostor(var heard):
                _services.Log.HeardOfItself(_cluster.Self, heard.Incarnation, heard.Addresses.Rpc ?? "?");
                break;
            case GossipFinding.Foreign(var from, var clusterId):
                Complain(new NodeId(from), $"it speaks for cluster {clusterId:x16}");
                break;
            case GossipFinding.Full:
                _services.Log.TopologyIsFull();
                break;
        }
    }

    private void Complain(NodeId from, string? problem)
    {
        if (Interlocked.Exchange(ref _lastRefusal, problem) != problem)
        {
            _services.Log.GossipRefused(from, problem ?? "?");
        }
    }
}
