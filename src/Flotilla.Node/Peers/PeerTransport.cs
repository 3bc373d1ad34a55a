using Flotilla.Contracts;
using Flotilla.Node.Loops;
using Flotilla.Raft;
using Flotilla.Wire.Peers;
using Flotilla.Wire.Rpc;
using Microsoft.Extensions.Logging;

namespace Flotilla.Node.Peers;

/// <summary>
/// One stream per pair of processes: the node with the lower id dials, the other accepts, and dials only if nothing comes; a
/// router always dials. Any process of this cluster is let in. Sends what it is given on the streams that stand and drops Raft
/// messages for those that do not. Thread-safe.
/// </summary>
internal sealed class PeerTransport : IAsyncDisposable
{
    /// <summary>How often streams are looked at while calls wait for answers, which may have to be given up; and while none does.</summary>
    private const int WatchMs = 50;
    private const int RestMs = 500;

    private readonly Lock _gate = new();
    private readonly TransportOptions _options;
    private readonly IPeerEvents _events;
    private readonly ILogger _log;
    private readonly CancellationTokenSource _stop = new();
    private readonly List<Task> _tasks = [];
    private readonly Timer _timer;
    private readonly Func<PeerSession, ForwardCall, bool> _giveUp;
    private readonly TaskCompletionSource<Hello> _started = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Dictionary<NodeId, PeerLink> _links = [];
    private volatile bool _rests;

    public PeerTransport(TransportOptions options, IPeerEvents events, ILogger log)
    {
        _options = options;
        _events = events;
        _log = log;
        _giveUp = GiveUp;
        _timer = new Timer(static state => ((PeerTransport)state!).Watch(), this, Timeout.Infinite, Timeout.Infinite);
    }

    /// <summary>All links; an immutable snapshot.</summary>
    public IEnumerable<PeerLink> Links => Volatile.Read(ref _links).Values;

    /// <summary>Starts to serve streams and to watch them. <paramref name="self"/> is what this process says of itself at the start of each.</summary>
    public void Start(Hello self)
    {
        _started.TrySetResult(self);
        _timer.Change(WatchMs, WatchMs);
    }

    /// <summary>After <see cref="Start"/>: makes a link to a peer and sees to it that a stream stands, until the transport stops. A new address replaces the one before.</summary>
    public void Connect(NodeId peer, string? address)
    {
        if (!_started.Task.IsCompletedSuccessfully || _started.Task.Result is var self && peer == self.Node
            || (LinkOf(peer) is { IsDialled: true } known && (address is null || known.Address == address)))
        {
            return; // Before the start, or nothing new.
        }

        var link = LinkTo(peer, isRouter: false);
        link.Address = address ?? link.Address;
        if (!link.IsRouter && link.BeginDialling())
        {
            Own(Task.Run(() => DialAsync(link, self)));
        }
    }

    /// <summary>The link to a peer, or null.</summary>
    public PeerLink? LinkOf(NodeId peer) => !peer.IsNone && Volatile.Read(ref _links).TryGetValue(peer, out var link) ? link : null;

    /// <summary>The peer's stream stands and something was heard lately.</summary>
    public bool IsAlive(NodeId peer) => LinkOf(peer)?.Session is { } session && NodeClock.Now.MsSince(session.LastHeard) < _options.AliveMs;

    /// <summary>Sends messages, one frame per peer as a rule. For any thread; never blocks.</summary>
    public void Send(List<OutboundMessage> messages)
    {
        var links = Volatile.Read(ref _links);
        foreach (var message in messages)
        {
            if (links.TryGetValue(message.To, out var link))
            {
                link.Session?.Enqueue(message.Group, message.Message);
            }
        }

        foreach (var (_, link) in links)
        {
            link.Session?.KickIfDirty();
        }
    }

    /// <summary>Sends a heartbeat of a loop to nodes, on the streams that stand. For any thread; never blocks.</summary>
    public void Beat(IReadOnlyList<NodeId> to, uint loop)
    {
        var links = Volatile.Read(ref _links);
        foreach (var node in to)
        {
            if (links.TryGetValue(node, out var link))
            {
                link.Session?.SendHeartbeat(loop);
            }
        }
    }

    /// <summary>Serves a stream that another process has opened, until it ends.</summary>
    public async Task<RpcStatus> AcceptAsync(RpcDuplex stream, RpcCall call)
    {
        Hello self;
        Hello remote;
        try
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token, call.Cancellation);
            limit.CancelAfter(_options.OpenTimeout);
            self = await _started.Task.WaitAsync(limit.Token);
            remote = await Handshake.AcceptAsync(stream, self, hello => Objection(self, hello), limit.Token);
        }
        catch (HandshakeException e)
        {
            return Refuse(e);
        }
        catch (OperationCanceledException)
        {
            return new RpcStatus(RpcCode.DeadlineExceeded, "no Hello came in time");
        }

        var link = LinkTo(remote.Node, remote.IsRouter);
        link.Address = remote.Rpc ?? link.Address;
        try
        {
            await RunAsync(link, new PeerSession(stream, remote, self.ClusterId, _options.MaxQueueBytes, _events, OnForward));
        }
        catch (HandshakeException e)
        {
            return Refuse(e);
        }

        if (link.IsRouter && link.Session is null)
        {
            Forget(link);
        }

        return RpcStatus.Ok;

        RpcStatus Refuse(HandshakeException e)
        {
            _log.RefusedPeer(call.Peer, e.Message);
            return new RpcStatus(RpcCode.FailedPrecondition, e.Message);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        ValueTask timerEnds;
        lock (_gate)
        {
            timerEnds = _timer.DisposeAsync();
        }

        await timerEnds;
        foreach (var link in Links)
        {
            link.Session?.Close();
        }

        Task[] tasks;
        lock (_gate)
        {
            tasks = [.. _tasks];
        }

        await Task.WhenAll(tasks);
        _stop.Dispose();
    }

    private string? Objection(Hello self, Hello remote)
    {
        if (remote.IsRouter && _options.IsNode(remote.Node))
        {
            return $"it is a router and calls itself {remote.Node}, which is a node of this cluster: its streams would take the place of that node's";
        }

        // It dialled in this node's stead, and needlessly: two that took each other's place in turn would cut each other's calls.
        // One whose process was started anew does not have the stream that stands here.
        var link = LinkOf(remote.Node);
        return !remote.IsRouter && self.Node.CompareTo(remote.Node) < 0 && link?.Session is { } stands
            && stands.Remote.Incarnation == remote.Incarnation && stands.Remote.BootNumber == remote.BootNumber
            ? $"a stream with node {remote.Node} stands already"
            : link?.Objection(remote);
    }

    private PeerLink LinkTo(NodeId peer, bool isRouter)
    {
        lock (_gate)
        {
            if (!_links.TryGetValue(peer, out var link))
            {
                link = new PeerLink(peer, isRouter);
                Volatile.Write(ref _links, new Dictionary<NodeId, PeerLink>(_links) { [peer] = link });
            }

            return link!;
        }
    }

    private void Forget(PeerLink link)
    {
        lock (_gate)
        {
            var links = new Dictionary<NodeId, PeerLink>(_links);
            links.Remove(link.Peer);
            Volatile.Write(ref _links, links);
        }
    }

    /// <summary>Keeps a task until it ends, so that stopping waits for it.</summary>
    private void Own(Task task)
    {
        lock (_gate)
        {
            _tasks.RemoveAll(static t => t.IsCompleted);
            _tasks.Add(task);
        }
    }

    private async Task DialAsync(PeerLink link, Hello self)
    {
        var isMyPart = self.IsRouter || self.Node.CompareTo(link.Peer) < 0;
        var pauseMs = isMyPart ? 0 : _options.DialInsteadMs;
        while (await PauseAsync(pauseMs))
        {
            if (link.Session is { } stands)
            {
                // The other side has dialled.
                await stands.Ended.WaitAsync(_stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                pauseMs = isMyPart ? _options.MinBackoffMs : _options.DialInsteadMs;
                continue;
            }

            pauseMs = Math.Clamp(pauseMs * 2, _options.MinBackoffMs, _options.MaxBackoffMs);
            var started = NodeClock.Now;
            try
            {
                await RunAsync(link, await OpenAsync(link, self));
            }
            catch (Exception e)
            {
                // Whatever it is, the next attempt may do better; a dialler that ended would cut this peer off for ever.
                if (!_stop.IsCancellationRequested && link.LastComplaint != e.Message)
                {
                    link.LastComplaint = e.Message;
                    _log.CannotReachPeer(link.Peer, link.Address ?? "?", e.Message);
                }
            }

            if (NodeClock.Now.MsSince(started) > 1000)
            {
                pauseMs = isMyPart ? _options.MinBackoffMs : _options.DialInsteadMs;
            }
        }
    }

    /// <summary>False: the transport is stopping.</summary>
    private async Task<bool> PauseAsync(int ms)
    {
        await Task.Delay(ms, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return !_stop.IsCancellationRequested;
    }

    private async Task<PeerSession> OpenAsync(PeerLink link, Hello self)
    {
        var address = link.Address ?? throw new FormatException("its RPC address is not known yet");
        using var channel = new RpcChannel(HostPort.Parse(_options.Way(link.Peer, address)));
        var stream = await channel.OpenDuplexAsync(PeerCodec.StreamPath, _options.OpenTimeout, _stop.Token);
        try
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
            limit.CancelAfter(_options.OpenTimeout);
            var remote = await Handshake.DialAsync(stream, self, link.Peer, limit.Token);
            return new PeerSession(stream, remote, self.ClusterId, _options.MaxQueueBytes, _events, OnForward);
        }
        catch
        {
            await stream.DisposeAsync();
            throw;
        }
    }

    /// <summary>Runs a session to its end, then finds out whether the peer's process is gone.</summary>
    /// <exception cref="HandshakeException">The stream of another data directory has taken the place meanwhile.</exception>
    private async Task RunAsync(PeerLink link, PeerSession session)
    {
        if (link.Install(session) is { } reason)
        {
            session.Close();
            await session.RunAsync();
            throw new HandshakeException(reason);
        }

        link.LastComplaint = null;
        _log.PeerUp(link.Peer, session.Remote.BootNumber);
        _events.OnUp(session);
        if (_stop.IsCancellationRequested)
        {
            session.Close();
        }

        var cause = await session.RunAsync();
        var last = link.Remove(session);
        _events.OnDown(session);
        if (last && !_stop.IsCancellationRequested)
        {
            _log.PeerDown(link.Peer, cause?.Message ?? "the other side closed it");
            if (!link.IsRouter)
            {
                Own(ProbeAsync(link));
            }
        }
    }

    /// <summary>
    /// The dead-leader hint. The kernel closes a dying process's sockets one after the other, so the listener may outlive
    /// the stream by a moment: a few probes close together.
    /// </summary>
    private async Task ProbeAsync(PeerLink link)
    {
        try
        {
            for (var pauseMs = 1; pauseMs <= 64; pauseMs *= 4)
            {
                if (link.Session is not null)
                {
                    return;
                }

                if (await TcpProbe.IsRefusedAsync(link.Address, _stop.Token))
                {
                    _log.PeerGone(link.Peer);
                    _events.OnGone(link.Peer);
                    return;
                }

                await Task.Delay(pauseMs, _stop.Token);
            }
        }
        catch (OperationCanceledException)
        {
            // The transport is stopping: nobody needs the hint.
        }
    }

    private void Watch()
    {
        var now = NodeClock.Now;
        var waits = false;
        foreach (var link in Links)
        {
            if (link.Session is not { } session)
            {
                continue;
            }

            waits |= session.HasForwards;
            if (now.MsSince(session.LastHeard) > _options.SilenceMs)
            {
                if (session.Close())
                {
                    _log.PeerSilent(link.Peer, (long)_options.SilenceMs);
                }
            }
            else
            {
                session.Sweep(_giveUp);
            }
        }

        if (waits == _rests)
        {
            SetPace(rests: !waits);
            if (!waits && Links.Any(static link => link.Session is { HasForwards: true }))
            {
                // One began since, and may have seen the pace as it was.
                SetPace(rests: false);
            }
        }
    }

    /// <summary>A call begins to wait for an answer.</summary>
    private void OnForward()
    {
        if (_rests)
        {
            SetPace(rests: false);
        }
    }

    private void SetPace(bool rests)
    {
        lock (_gate)
        {
            _rests = rests;
            if (!_stop.IsCancellationRequested)
            {
                var ms = rests ? RestMs : WatchMs;
                _timer.Change(ms, ms);
            }
        }
    }

    private bool GiveUp(PeerSession session, ForwardCall call)
    {
        var now = NodeClock.Now;
        if (now >= call.Deadline.PlusMs(_options.AnswerGraceMs))
        {
            return true;
        }

        var leader = call.Route.Leader.Leader;
        if (call.AnyReplica || leader.IsNone || leader == session.Remote.Node)
        {
            call.DeposedAt = default;
            return false;
        }

        if (call.DeposedAt == default)
        {
            call.DeposedAt = now;
        }

        return now.MsSince(call.DeposedAt) > _options.DeposedGraceMs;
    }
}
