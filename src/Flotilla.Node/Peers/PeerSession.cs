using Flotilla.Raft;
using Flotilla.Wire.Peers;
using Flotilla.Wire.Rpc;

namespace Flotilla.Node.Peers;

/// <summary>
/// One stream between two processes, from the Hello to its end: a task that sends (everything that waits, in one flush) and
/// one that receives. When it ends, calls that were sent are unclear, and those that were not are certainly not sent.
/// Thread-safe.
/// </summary>
internal sealed class PeerSession
{
    private readonly Lock _gate = new();
    private readonly RpcDuplex _stream;
    private readonly IPeerEvents _events;
    private readonly ulong _clusterId;
    private readonly Action _onForward;
    private readonly OutboundQueue _queue;
    private readonly AsyncSignal _signal = new();
    private readonly Dictionary<ulong, ForwardCall> _forwards = [];
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ulong _lastCall;
    private bool _closed;
    private bool _sendingReplies;
    private volatile bool _dirty;
    private long _lastHeardUs;

    /// <summary>A session that begins. <paramref name="onForward"/> is called when a call begins to wait for the other side's answer; it must not block.</summary>
    public PeerSession(RpcDuplex stream, Hello remote, ulong clusterId, int maxQueueBytes, IPeerEvents events, Action onForward)
    {
        _onForward = onForward;
        _stream = stream;
        _events = events;
        _clusterId = clusterId;
        _queue = new OutboundQueue(maxQueueBytes);
        Remote = remote;
        _lastHeardUs = NodeClock.Now.Microseconds;
    }

    /// <summary>Who is at the other end.</summary>
    public Hello Remote { get; }

    /// <summary>Completes when the stream was cut or has ended.</summary>
    public Task Ended => _ended.Task;

    /// <summary>When the other side was heard last.</summary>
    public Instant LastHeard => new(Volatile.Read(ref _lastHeardUs));

    /// <summary>Calls wait for the other side's answer.</summary>
    public bool HasForwards
    {
        get
        {
            lock (_gate)
            {
                return _forwards.Count > 0;
            }
        }
    }

    /// <summary>An answer to the other side is not sent yet.</summary>
    public bool OwesAnswers
    {
        get
        {
            lock (_gate)
            {
                return !_closed && (_sendingReplies || _queue.HasReplies);
            }
        }
    }

    /// <summary>Puts a Raft message into the queue without waking the sender; <see cref="KickIfDirty"/> does.</summary>
    public void Enqueue(GroupId group, Message message)
    {
        lock (_gate)
        {
            if (!_closed)
            {
                _queue.Add(group, message);
                _dirty = true;
            }
        }
    }

    /// <summary>Wakes the sender if a message was queued since.</summary>
    public void KickIfDirty()
    {
        if (_dirty)
        {
            _dirty = false;
            _signal.Set();
        }
    }

    /// <summary>Sends an answer to a call of the other side. Nobody waits for it any more if the session has ended.</summary>
    public void Reply(in CallReply reply)
    {
        lock (_gate)
        {
            if (_closed)
            {
                return;
            }

            _queue.Add(reply);
        }

        _signal.Set();
    }

    /// <summary>Sends a message of gossip. It may be dropped.</summary>
    public void SendGossip(ReadOnlyMemory<byte> message)
    {
        lock (_gate)
        {
            if (_closed)
            {
                return;
            }

            _queue.AddGossip(message);
        }

        _signal.Set();
    }

    /// <summary>Sends a message about a move. It may be dropped.</summary>
    public void SendHandoff(in HandoffEnvelope handoff)
    {
        lock (_gate)
        {
            if (_closed)
            {
                return;
            }

            _queue.AddHandoff(handoff);
        }

        _signal.Set();
    }

    /// <summary>Sends a heartbeat of one of this process's loops. It may be dropped.</summary>
    public void SendHeartbeat(uint loop)
    {
        lock (_gate)
        {
            if (_closed)
            {
                return;
            }

            _queue.AddHeartbeat(loop);
        }

        _signal.Set();
    }

    /// <summary>Shows the other side that this process is alive, whatever else there is to say.</summary>
    public void Pulse()
    {
        lock (_gate)
        {
            _queue.Pulse();
        }

        _signal.Set();
    }

    /// <summary>Forwards a call under a number of this session's own. If it can't be queued it completes as certainly not sent.</summary>
    public void Forward(ForwardCall call, in CallRequest request)
    {
        bool queued;
        lock (_gate)
        {
            var id = ++_lastCall;
            queued = !_closed && _queue.TryAdd(request with { Id = id });
            if (queued)
            {
                _forwards.Add(id, call);
            }
        }

        if (queued)
        {
            NodeMetrics.Forwarded.Add(1);
            _signal.Set();
            _onForward();
        }
        else
        {
            call.Fail(ForwardOutcome.NotSent);
        }
    }

    /// <summary>Completes as unclear the calls that <paramref name="giveUp"/> gives up.</summary>
    public void Sweep(Func<PeerSession, ForwardCall, bool> giveUp)
    {
        List<ForwardCall>? gone = null;
        lock (_gate)
        {
            if (_forwards.Count == 0)
            {
                return;
            }

            // Removing the current pair does not disturb the enumeration of this type.
            foreach (var (id, call) in _forwards)
            {
                if (giveUp(this, call))
                {
                    _forwards.Remove(id);
                    (gone ??= []).Add(call);
                }
            }
        }

        // One that still waits in the queue will go out all the same: it counts as sent.
        gone?.ForEach(static call => call.Fail(ForwardOutcome.Unclear));
    }

    /// <summary>Runs until the stream ends. Never throws; returns what ended it, or null for an end in good order.</summary>
    public async Task<Exception?> RunAsync()
    {
        var sending = SendAsync();
        Exception? cause = null;
        try
        {
            await ReceiveAsync();
        }
        catch (Exception e)
        {
            cause = e;
        }

        Close();
        cause = await sending ?? cause;
        await _stream.DisposeAsync();
        return cause;
    }

    /// <summary>Cuts the stream and completes what waits. May be called more than once, from anywhere; true the first time.</summary>
    public bool Close()
    {
        ForwardCall[] forwards;
        lock (_gate)
        {
            if (_closed)
            {
                return false;
            }

            _closed = true;
            forwards = [.. _forwards.Values];
            _forwards.Clear();
            _queue.TakeAll();
        }

        _stream.Abort();
        _signal.Set();
        _ended.TrySetResult();
        foreach (var call in forwards)
        {
            call.Fail(call.Sent ? ForwardOutcome.Unclear : ForwardOutcome.NotSent);
        }

        return true;
    }

    private async Task<Exception?> SendAsync()
    {
        var splitter = new FrameSplitter(_clusterId);
        try
        {
            while (true)
            {
                await _signal.WaitAsync();
                if (TakeOutbound(out var pulse) is not { } frame)
                {
                    return null;
                }

                if (pulse || !frame.IsEmpty)
                {
                    splitter.Write(frame, _stream);
                    await _stream.FlushAsync();
                    RepliesSent();
                }
            }
        }
        catch (Exception e)
        {
            // Closing ends the receiving side too, which then ends the session. If it was closed before, that is why this failed.
            return Close() ? e : null;
        }
    }

    private void RepliesSent()
    {
        lock (_gate)
        {
            _sendingReplies = false;
        }
    }

    private PeerFrame? TakeOutbound(out bool pulse)
    {
        lock (_gate)
        {
            pulse = _queue.TakePulse();
            if (_closed)
            {
                return null;
            }

            // The frame taken before this one has been flushed.
            _sendingReplies = _queue.HasReplies;
            var frame = _queue.TakeAll();
            foreach (var request in frame.Requests)
            {
                if (_forwards.TryGetValue(request.Id, out var call))
                {
                    call.Sent = true;
                }
            }

            return frame;
        }
    }

    private async Task ReceiveAsync()
    {
        var frame = new PeerFrame();
        while (await _stream.WaitToReadAsync())
        {
            while (_stream.TryRead(out var bytes))
            {
                PeerCodec.Decode(bytes, frame);
                Volatile.Write(ref _lastHeardUs, NodeClock.Now.Microseconds);
                Receive(frame);
            }
        }
    }

    private void Receive(PeerFrame frame)
    {
        if (frame.ClusterId != _clusterId)
        {
            throw new PeerFormatException($"a frame of cluster {frame.ClusterId:x16} came on a stream of cluster {_clusterId:x16}");
        }

        foreach (var loop in frame.Heartbeats)
        {
            _events.OnHeartbeat(Remote, loop);
        }

        foreach (var envelope in frame.Messages)
        {
            _events.OnMessage(Remote, envelope);
        }

        foreach (var reply in frame.Replies)
        {
            ForwardCall? call;
            lock (_gate)
            {
                _forwards.Remove(reply.Id, out call);
            }

            call?.Complete(reply);
        }

        foreach (var request in frame.Requests)
        {
            _events.OnRequest(this, request);
        }

        foreach (var message in frame.Gossip)
        {
            _events.OnGossip(Remote, message);
        }

        foreach (var handoff in frame.Handoffs)
        {
            _events.OnHandoff(handoff);
        }
    }
}
