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
    private readonly List<int> _messageBytes = [];
    private PeerFrame _filling = new();
    private PeerFrame _sending = new();
    private int _bytesOfMessages;
    private int _bytesOfCalls;

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

    /// <summary>Sets what this process knows of the cluster; shards that an older, unsent one told of and this one does not stay in it.</summary>
    public void Set(ClusterStatus status)
    {
        if (_filling.Status is { } older)
        {
            var told = status.Shards.Select(s => s.Shard).ToHashSet();
            var knows = status.Nodes.Select(n => n.Node).ToHashSet();
            status = new ClusterStatus(
                [.. status.Nodes.Concat(older.Nodes.Where(n => !knows.Contains(n.Node))).OrderBy(n => n.Node)],
                [.. status.Shards.Select(s => Complete(s, older)).Concat(older.Shards.Where(s => !told.Contains(s.Shard))).OrderBy(s => s.Shard)],
                status.AgeMs);
        }

        _filling.Status = status;
    }

    /// <summary>Takes everything; the frame is the caller's until its next call.</summary>
    public PeerFrame TakeAll()
    {
        _sending.Clear();
        (_filling, _sending) = (_sending, _filling);
        _messageBytes.Clear();
        Count(ref _bytesOfMessages, -_bytesOfMessages);
        Count(ref _bytesOfCalls, -_bytesOfCalls);
        return _sending;
    }

    /// <summary>A shard told without its slots keeps those of the older telling.</summary>
    private static ShardStatus Complete(ShardStatus shard, ClusterStatus older) =>
        shard.Ranges.Count == 0 && older.Shards.FirstOrDefault(s => s.Shard == shard.Shard) is { Ranges.Count: > 0 } full
            ? full with { Leader = shard.Leader, Term = shard.Term, Version = shard.Version }
            : shard;

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
