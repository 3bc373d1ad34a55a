using System.Runtime.InteropServices;
using Flotilla.Raft;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Peers;

/// <summary>
/// What waits to be sent on one stream: a frame that is being filled while the one before it is being sent. Bounded in
/// bytes, Raft messages and calls apart, lest an overload of clients unseat a leader: over the bound the oldest messages go
/// (Raft sends again), and calls are refused. Not thread-safe: its session's lock guards it.
/// </summary>
/// <param name="maxBytes">What may wait of messages; and as much again of calls and answers.</param>
internal sealed class OutboundQueue(int maxBytes)
{
    private const int MaxGossipBytes = 4 << 20;
    private const int MaxHandoffBytes = 16 << 20;

    private readonly List<int> _messageBytes = [];
    private PeerFrame _filling = new();
    private PeerFrame _sending = new();
    private int _bytesOfMessages;
    private int _bytesOfCalls;
    private int _bytesOfGossip;
    private int _bytesOfHandoffs;
    private bool _pulse;

    /// <summary>An answer waits to be sent.</summary>
    public bool HasReplies => _filling.Replies.Count > 0;

    /// <summary>Adds a Raft message, for which older ones may have to go.</summary>
    public void Add(GroupId group, Message message)
    {
        var cost = PeerFrame.ApproximateBytes(message);
        if (_bytesOfMessages + cost > maxBytes)
        {
            DropMessages(_bytesOfMessages + cost - maxBytes);
        }

        _filling.Messages.Add(new PeerEnvelope(group, message));
        _messageBytes.Add(cost);
        Count(ref _bytesOfMessages, cost);
    }

    /// <summary>Adds a call. False if it does not fit.</summary>
    public bool TryAdd(in CallRequest request)
    {
        var cost = PeerFrame.ApproximateBytes(request);
        if (_bytesOfCalls + cost > maxBytes && _bytesOfCalls > 0)
        {
            return false;
        }

        _filling.Requests.Add(request);
        Count(ref _bytesOfCalls, cost);
        return true;
    }

    /// <summary>Adds an answer. What was asked is bounded by the asker and by the loops, so this is not.</summary>
    public void Add(in CallReply reply)
    {
        _filling.Replies.Add(reply);
        Count(ref _bytesOfCalls, PeerFrame.ApproximateBytes(reply));
    }

    /// <summary>Adds a message of gossip, for which older ones may have to go: the next exchanges heal that.</summary>
    public void AddGossip(ReadOnlyMemory<byte> message)
    {
        while (_filling.Gossip.Count > 0 && _bytesOfGossip + message.Length > MaxGossipBytes)
        {
            _bytesOfGossip -= _filling.Gossip[0].Length;
            _filling.Gossip.RemoveAt(0);
        }

        _filling.Gossip.Add(message);
        _bytesOfGossip += message.Length;
    }

    /// <summary>Adds a message about a move. Dropped if too many wait: it will be said again.</summary>
    public void AddHandoff(in HandoffEnvelope handoff)
    {
        if (_bytesOfHandoffs <= MaxHandoffBytes)
        {
            _filling.Handoffs.Add(handoff);
            _bytesOfHandoffs += handoff.Message.Length;
        }
    }

    /// <summary>Adds a heartbeat of a loop, unless one waits already.</summary>
    public void AddHeartbeat(uint loop)
    {
        if (!_filling.Heartbeats.Contains(loop))
        {
            _filling.Heartbeats.Add(loop);
        }
    }

    /// <summary>The next frame goes out though it be empty: it shows that this process is alive.</summary>
    public void Pulse() => _pulse = true;

    /// <summary>True once for each <see cref="Pulse"/>, or several.</summary>
    public bool TakePulse()
    {
        var pulse = _pulse;
        _pulse = false;
        return pulse;
    }

    /// <summary>Takes everything; the frame is the caller's until its next call.</summary>
    public PeerFrame TakeAll()
    {
        _sending.Clear();
        (_filling, _sending) = (_sending, _filling);
        _messageBytes.Clear();
        _bytesOfGossip = 0;
        _bytesOfHandoffs = 0;
        Count(ref _bytesOfMessages, -_bytesOfMessages);
        Count(ref _bytesOfCalls, -_bytesOfCalls);
        return _sending;
    }

    private static void Count(ref int waiting, int bytes)
    {
        waiting += bytes;
        NodeMetrics.PeerQueueBytes.Add(bytes);
    }

    private void DropMessages(int bytes)
    {
        var freed = 0;
        var gone = 0;
        foreach (var cost in CollectionsMarshal.AsSpan(_messageBytes))
        {
            if (freed >= bytes)
            {
                break;
            }

            freed += cost;
            gone++;
        }

        _messageBytes.RemoveRange(0, gone);
        _filling.Messages.RemoveRange(0, gone);
        Count(ref _bytesOfMessages, -freed);
        NodeMetrics.MessagesDropped.Add(gone);
    }
}
